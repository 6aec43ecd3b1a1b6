"""A new job file with comments, for the bundled digits or for the user's own data."""

from pathlib import Path
from typing import Any

import yaml

from ardm.job.proposal import Proposal
from ardm.job.spec import parse

DIGITS = Proposal(
    "binarized MNIST, which is in the package",
    {"dataset": "binarized_mnist", "source": "bundled"},
    {
        "kind": "unet",
        "patch": 2,
        "channels": 64,
        "multipliers": [1, 1],
        "blocks": 2,
        "attention": [7],
        "groups": 8,
    },
    {},
)
"""The job for those who have no data of their own yet."""

_TEMPLATE = """\
{schema}# {name}: trained on {found}.
#
#   ardm validate {path}     check this file and the data
#   ardm train {path}        train in this process; Ctrl-C saves and ends
#   ardm submit {path}       train on Ray
#
# Every key that is left out has a default. `ardm validate --json` shows all of them.
job: {name}
seed: 0
data: {data}
model:
  # oa: any order; upscale: from coarse to fine; autoregressive, permuted: baselines for text.
  objective: oa
{model}  # More channels and blocks make the model better and slower.
  net: {net}
training:
  steps: 2000             # start with few: `--override` lets a run go on with more
  batch_size: {batch_size}
  grad_shards: 4          # the batch is computed in so many parts; workers and cores share them
  optimizer: muon
  learning_rate: 5.0e-3   # with `optimizer: adam` about 1.0e-3
  warmup: 100
  ema: 0.999              # evaluations and samples use the average of the parameters
checkpoint:
  interval: 30            # seconds; `auto` adapts it to the rate of preemptions
  keep_last: 3
evaluation:
  first: 200
  every: 500
  samples: 4
# Optional: end the run at a limit, and send a message when it has ended.
# limits: {{hours: 12}}
# notify: [https://ntfy.sh/my-runs]
"""


def job_file(name: str, proposal: Proposal, path: Path) -> str:
    """The text of a new job file.

    Args:
        name: name of the job.
        proposal: the data, and the model that fits them.
        path: where the file will be, for its comments.

    Raises:
        SpecError: the name is none, or the proposal does not fit after all.
    """
    extra = "".join(f"  {key}: {_flow(value)}\n" for key, value in proposal.model.items())
    schema = path.parent / "schema.json"
    text = _TEMPLATE.format(
        schema="# yaml-language-server: $schema=schema.json\n" if schema.is_file() else "",
        name=name,
        found=proposal.found,
        path=path,
        data=_flow(proposal.data),
        model=extra,
        net=_flow(proposal.net),
        batch_size=proposal.batch_size,
    )
    parse(text, str(path))
    return text


def _flow(value: Any) -> str:
    """A value in YAML's flow style, on one line."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True
    )
    return text.removesuffix("...\n").strip()
