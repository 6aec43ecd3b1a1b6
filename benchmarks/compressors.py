"""Sizes of test examples, compressed by a trained model and by usual programs.

    .venv/bin/python benchmarks/compressors.py RUN [--store runs] [--count 1000] [--budget 50]

For images: `count` test images, as one IDX file, as one optimized PNG and as one lossless WebP, in
each of which they stand side by side. For texts: the test part of the data, alone and behind the
training part. xz runs at its highest preset, PPMd (variant H) with order 16 and 64 MB. Nothing is
timed.
"""

import argparse
import io
import json
import lzma
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyppmd
from PIL import Image

from ardm.data.formats import MAGIC
from ardm.data.media import IMAGE

if TYPE_CHECKING:
    from ardm import Pretrained

ORDER, MEMORY = 16, 64 * 2**20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", help="name of a run, or a pulled directory")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--count", type=int, default=1000, help="number of test images")
    parser.add_argument("--budget", type=int, default=50)
    parser.add_argument("--orders", type=int, default=1)
    args = parser.parse_args()
    import ardm

    model = ardm.load(args.run, store=args.store)
    raw, values, others = _examples(model, args.count)
    sizes = {"as it is": len(raw), "xz -9e": len(_xz(raw)), "PPMd": len(_ppmd(raw))} | others
    with tempfile.TemporaryDirectory(prefix="ardm-compressors-") as folder:
        path = Path(folder) / "examples"
        path.write_bytes(raw)
        packed = model.compress([path], budget=args.budget, orders=args.orders)
        restored = model.decompress(packed.data)
    if restored[0][1] != raw:
        raise AssertionError("other bytes came back than were compressed")
    sizes[f"{args.run}, {args.budget} calls"] = len(packed.data)
    print(f"{model.data_title}, {values:,} values, {model.medium.unit}")
    for name, size in sizes.items():
        print(f"  {name:30s} {size:12,} bytes  {8 * size / values:.4f}")
    print(json.dumps({"data": model.data_title, "values": values, "sizes": sizes}))


def _examples(model: "Pretrained", count: int) -> tuple[bytes, int, dict[str, int]]:
    """The bytes to compress, the number of values in them, and sizes as pictures."""
    if model.medium != IMAGE:
        letters = model.alphabet
        if letters is None:
            raise SystemExit("expected a model of images or texts")
        # The last sequence is filled up; its filling is compressed, too.
        text = letters.decode(np.asarray(model.data.test).reshape(-1))
        train = model.data.train
        one_by_one = range(0, len(train), model.model.shape[0])
        before = letters.decode(np.asarray(train[one_by_one]).reshape(-1))
        return text, len(text), _after(before, text)
    images, _ = model.images("test", count)
    white = 255 // (model.model.classes - 1)
    pixels = (np.asarray(images) * white).astype(np.uint8)
    if pixels.shape[3] != 1:
        raise SystemExit("expected gray images, which an IDX file can hold")
    raw = MAGIC + np.array(pixels.shape[:3], ">u4").tobytes() + pixels.tobytes()
    return raw, pixels.size, _pictures(pixels, binary=model.model.classes == 2)


def _after(before: bytes, text: bytes) -> dict[str, int]:
    """What a text adds to the size of the training text, of which a model has seen as much."""
    return {
        f"{name}, after the training text": len(pack(before + text)) - len(pack(before))
        for name, pack in (("xz -9e", _xz), ("PPMd", _ppmd))
    }


def _pictures(pixels: np.ndarray, *, binary: bool) -> dict[str, int]:
    count, height, width, _ = pixels.shape
    columns = next(n for n in range(int(count**0.5), 0, -1) if count % n == 0)
    sheet = pixels.reshape(-1, columns, height, width).swapaxes(1, 2)
    picture = Image.fromarray(sheet.reshape(-1, columns * width))
    png, webp = io.BytesIO(), io.BytesIO()
    (picture.convert("1") if binary else picture).save(png, "PNG", optimize=True)
    picture.save(webp, "WEBP", lossless=True, quality=100, method=6)
    return {"optimized PNG": len(png.getvalue()), "lossless WebP": len(webp.getvalue())}


def _xz(raw: bytes) -> bytes:
    return lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)


def _ppmd(raw: bytes) -> bytes:
    encoder = pyppmd.Ppmd7Encoder(ORDER, MEMORY)
    return bytes(encoder.encode(raw) + encoder.flush())


if __name__ == "__main__":
    main()
