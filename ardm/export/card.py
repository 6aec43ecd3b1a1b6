"""The model card and the script of an exported model."""

from collections.abc import Mapping
from typing import Any

import yaml

from ardm.data.media import AUDIO, IMAGE, Medium
from ardm.export.artifacts import PARAMETERS, SAMPLER, SCORER
from ardm.job.spec import JobSpec

_SCRIPT = """\
\"\"\"Draws {examples}. It needs jax, flatbuffers, numpy, safetensors{needs}; not ardm.\"\"\"

import sys
{imports}
import numpy as np
from jax import export
from safetensors.numpy import load_file

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
sampler = export.deserialize(bytearray(open("{sampler}", "rb").read()))
x = np.asarray(sampler.call(load_file("{parameters}"), np.uint32(seed)))
{rest}
"""

_IMAGES = """\
height, channels = {rows} * x.shape[1], x.shape[3]
grid = x.reshape({rows}, -1, *x.shape[1:]).swapaxes(1, 2).reshape(height, -1, channels)
Image.fromarray((grid * {scale}).astype(np.uint8).squeeze()).save("samples.png")"""

_TEXTS = """\
letters = {letters}
for text in x[:, :, 0, 0]:
    print(bytes(letters[i] for i in text).decode(errors="replace"), end="\\n---\\n")"""

_SOUNDS = """\
{decode}
for number, one in enumerate(samples[:, :, 0, 0]):
    with wave.open(f"sample-{{number}}.wav", "wb") as file:
        file.setparams((1, 2, {rate}, 0, "NONE", ""))
        file.writeframes(one.astype("<i2").tobytes())"""

_LINEAR = "samples = x.astype(np.int32) - 32768"
_MU_LAW = """\
y = (x + 0.5) / 128.0 - 1.0  # mu-law with mu = 255
samples = np.sign(y) * (256.0 ** np.abs(y) - 1.0) / 255.0 * 32767"""


def script(medium: Medium, classes: int, num: int, *, letters: bytes, rate: int) -> str:
    """A script of about ten lines that samples without this package.

    Args:
        medium: what the model generates.
        classes: K, the number of classes of a dimension.
        num: number of examples that the sampler draws.
        letters: the byte of each class of a text.
        rate: samples per second of a recording.
    """
    if medium == IMAGE:
        rows = max(n for n in range(1, int(num**0.5) + 1) if num % n == 0)
        rest = _IMAGES.format(rows=rows, scale=255 // (classes - 1))
        needs, imports = ", pillow", "\nfrom PIL import Image"
    elif medium == AUDIO:
        rest = _SOUNDS.format(rate=rate, decode=_LINEAR if classes > 256 else _MU_LAW)
        needs, imports = "", "import wave\n"
    else:
        rest, needs, imports = _TEXTS.format(letters=letters), "", ""
    return _SCRIPT.format(
        examples=medium.examples,
        needs=needs,
        imports=imports,
        sampler=SAMPLER,
        parameters=PARAMETERS,
        rest=rest,
    )


def card(
    name: str,
    spec: JobSpec,
    facts: Mapping[str, Any],
    likelihoods: Mapping[str, str],
    versions: Mapping[str, str],
    license_name: str,
) -> str:
    """The model card, in Markdown with the header that model hubs read.

    Args:
        name: name of the run.
        spec: the job, without the addresses of alerts.
        facts: rows of the first table.
        likelihoods: for each split the NELBO with its error.
        versions: versions of the libraries that exported it.
        license_name: licence of the parameters.
    """
    header = yaml.safe_dump(
        {
            "library_name": "jax",
            "license": license_name,
            "tags": ["autoregressive-diffusion", "ardm", spec.data.dataset],
        },
        sort_keys=False,
    )
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    nelbo = "\n".join(f"| {split} | {text} |" for split, text in likelihoods.items())
    libraries = ", ".join(f"{key} {value}" for key, value in versions.items())
    job = yaml.safe_dump(spec.copy_for_records(), sort_keys=False)
    return f"""\
---
{header}---

# {name}

An autoregressive diffusion model ([ARDM](https://arxiv.org/abs/2110.02037)), trained with ardm.

| | |
|---|---|
{rows}

| split | NELBO |
|---|---|
{nelbo or "| | not evaluated |"}

The figures are upper bounds of the negative log-likelihood, with standard errors.

## Use

```console
$ pip install 'jax=={versions.get("jax", "")}' flatbuffers numpy pillow safetensors
$ python sample.py 0     # the number is the seed
```

- `{PARAMETERS}`: the exponential moving average of the parameters, by name.
- `{SAMPLER}`: `sampler(params, seed)`, a serialized `jax.export` artifact for CPUs and NVIDIA GPUs.
- `{SCORER}`: `scorer(params, examples, seed)`, estimates of the NELBO in nats.
- `job.yaml`: the job that trained it.

Exported with {libraries}. Later versions of JAX read such artifacts for six months at least.

## Job

```yaml
{job}```
"""
