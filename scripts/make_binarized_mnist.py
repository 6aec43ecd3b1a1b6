"""Make `ardm/data/binarized_mnist.xz` from MNIST's IDX files.

    python scripts/make_binarized_mnist.py FOLDER

FOLDER holds `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, plain or with `.gz`.
`ardm/data/README.md` describes the recipe.
"""

import argparse
import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np

from ardm.data import bundled
from ardm.data.dataset import Dataset
from ardm.data.packed import pack
from ardm.errors import InputError

SEED = 0
VALID = 10_000  # the last images of the training file
# Of the unpacked files, as published.
IDX_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
}


def read_idx(folder: Path, name: str) -> np.ndarray:
    """Read one IDX file of 28x28 images and check its digest.

    Args:
        folder: where `name` or `name.gz` lies.
        name: a key of `IDX_SHA256`.

    Returns:
        Grey values, uint8 `[N, 28, 28, 1]`.

    Raises:
        InputError: no such file, or not MNIST's.
    """
    plain, packed = folder / name, folder / f"{name}.gz"
    if plain.is_file():
        data = plain.read_bytes()
    elif packed.is_file():
        data = gzip.decompress(packed.read_bytes())
    else:
        raise InputError(f"expected {plain} or {packed}, found neither")
    received = hashlib.sha256(data).hexdigest()
    if received != IDX_SHA256[name]:
        raise InputError(f"{name}: expected SHA-256 {IDX_SHA256[name]}, received {received}")
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28, 1)


def binarize(grey: np.ndarray, bits: np.random.BitGenerator) -> np.ndarray:
    """Draw each pixel from a Bernoulli distribution with probability grey / 255.

    A pixel is 1 where `(raw >> 32) * 255 < grey * 2**32` for the next raw 64-bit output of the
    bit generator: whole numbers only, and the raw stream is the one that numpy promises never to
    change (NEP 19), unlike those of `Generator`'s methods.

    Args:
        grey: uint8, any shape.
        bits: advanced by one output per pixel, in C order.

    Returns:
        uint8 of the same shape, 0 or 1.
    """
    draws = bits.random_raw(grey.size).reshape(grey.shape) >> np.uint64(32)
    return (draws * np.uint64(255) < grey.astype(np.uint64) << np.uint64(32)).astype(np.uint8)


def make(folder: Path) -> Dataset:
    """Binarize MNIST: the training file first, then the test file, from one stream.

    Args:
        folder: with the two IDX files.

    Returns:
        The data set as it is packed into the bundled file.
    """
    bits = np.random.PCG64(SEED)
    binary = {
        # In blocks, since a draw takes eight bytes; the stream is the same for any block size.
        name: np.concatenate(
            [binarize(block, bits) for block in np.split(read_idx(folder, name), 10)]
        )
        for name in IDX_SHA256
    }
    train, test = binary.values()
    splits = {"train": train[:-VALID], "valid": train[-VALID:], "test": test}
    return Dataset.of("binarized_mnist", 2, splits)


def main() -> None:
    """Write the file and print its digests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the two IDX files lie")
    parser.add_argument("--out", type=Path, default=bundled.FILE, help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        dataset = make(arguments.folder)
    except InputError as error:
        sys.exit(f"error: {error}")
    data = pack(dataset)
    arguments.out.write_bytes(data)
    print(f"wrote {arguments.out}, {len(data):,} bytes")
    print(f"file SHA-256:   {hashlib.sha256(data).hexdigest()} (bundled.FILE_SHA256)")
    print(f"arrays SHA-256: {dataset.sha256}")


if __name__ == "__main__":
    main()
