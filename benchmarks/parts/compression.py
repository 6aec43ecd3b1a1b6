"""Compression of 100 test digits with a budget of 50 calls, with a network that is not trained."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt

from ardm.data import formats
from parts.figures import Figure, figure, seconds

DIGITS, BUDGET, ROUNDS = 100, 50, 3


def figures() -> Iterator[Figure]:
    """Measure compression and decompression; the first calls, which compile, stand apart."""
    from ardm.checkpoint.digest import digest
    from ardm.compression.codec import Codec
    from ardm.data import dataset
    from ardm.data.config import describe
    from ardm.job.spec import load
    from ardm.model import policy
    from ardm.model.build import build
    from ardm.training.devices import cores_here, use_cores
    from ardm.training.state import init

    use_cores(cores_here())
    spec = load("jobs/binmnist.yaml")
    model = build(spec.model, *describe(spec.data))
    params = model.unravel(init(model, spec.training, spec.seed).params)
    codec = Codec(model, params, digest(params), None)
    starts = policy.uniform(model.D, BUDGET)
    digits = _idx(255 * dataset.load(spec.data).test[:DIGITS])
    with tempfile.TemporaryDirectory(prefix="ardm-bench-") as folder:
        path = Path(folder) / "digits.idx"
        path.write_bytes(digits)
        first = seconds(lambda: codec.compress([path], starts))
        packed = codec.compress([path], starts)
        again = [seconds(lambda: codec.compress([path], starts)) for _ in range(ROUNDS)]
        back = [seconds(lambda: codec.decompress(packed.data, path.name)) for _ in range(ROUNDS)]
        [(_, restored)] = codec.decompress(packed.data, path.name)
    if restored != digits:
        raise AssertionError("other bytes came back than were compressed")
    what = f"{DIGITS} digits, {BUDGET} calls"
    yield figure(f"compress {what}, first time", "s", [first], "compiling included")
    yield figure(f"compress {what}", "s", again)
    yield figure(f"decompress {what}", "s", back)


def _idx(images: UInt[np.ndarray, "n h w 1"]) -> bytes:
    sizes = np.array(images.shape[:3], ">u4")
    return formats.MAGIC + sizes.tobytes() + images.astype(np.uint8).tobytes()
