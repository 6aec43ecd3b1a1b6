"""Make `ardm/data/binarized_mnist.xz` from MNIST's IDX files.

    python scripts/make_binarized_mnist.py FOLDER

FOLDER holds `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, plain or with `.gz`.
`ardm/data/README.md` describes the recipe.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from ardm.data import bundled, files, formats
from ardm.data.bundled import pack
from ardm.data.config import DataConfig
from ardm.data.dataset import Dataset
from ardm.data.folder import Folder
from ardm.errors import InputError

# Of the unpacked files, as published.
IDX_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
}


def check(path: Path) -> None:
    """Check that the files are MNIST's.

    Args:
        path: the folder with the two IDX files, plain or packed.

    Raises:
        InputError: they are missing, or others.
    """
    folder = Folder(str(path))
    found = files.locate(folder, list(folder.listing().files), tuple(IDX_SHA256))
    if not found:
        raise InputError(f"expected {' and '.join(IDX_SHA256)} in {path}, found neither")
    for published, name in found.items():
        content = formats.unpack(folder.read(name), name)
        received = hashlib.sha256(content).hexdigest()
        if received != IDX_SHA256[published]:
            raise InputError(
                f"{name}: expected SHA-256 {IDX_SHA256[published]}, received {received}"
            )


def make(path: Path) -> Dataset:
    """Read MNIST and binarize it, as `data: {source: files}` does.

    Args:
        path: the folder with the two IDX files.

    Returns:
        The data set as it is packed into the bundled file.
    """
    check(path)
    return files.read(DataConfig(source="files", path=str(path)))


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
