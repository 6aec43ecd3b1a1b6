"""The data inside the package: MNIST, binarized once by the recipe in `README.md`."""

import hashlib
from dataclasses import replace
from pathlib import Path

from ardm.data.dataset import Dataset
from ardm.data.packed import unpack
from ardm.data.provenance import Report
from ardm.data.splits import origins_by_position
from ardm.errors import InputError

FILE = Path(__file__).with_name("binarized_mnist.xz")
FILE_SHA256 = "f710e48529eaa79350a45ade0cd5510ca87fd192a65ba1afc4e70fdc3862bbdb"


def read(path: Path = FILE) -> Dataset:
    """Read binarized MNIST: 50,000 / 10,000 / 10,000 images of 28x28x1, two classes.

    Args:
        path: the packed file.

    Returns:
        The data set.

    Raises:
        InputError: the file is missing, or does not have the expected SHA-256.
    """
    advice = "install the package anew, or make the file with scripts/make_binarized_mnist.py"
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected the bundled data, found no file; {advice}") from error
    received = hashlib.sha256(data).hexdigest()
    if received != FILE_SHA256:
        raise InputError(
            f"{path}: expected SHA-256 {FILE_SHA256}, received {received}: the file is damaged; "
            f"{advice}"
        )
    dataset = unpack(data, origin=str(path))
    return replace(dataset, report=Report(origins_by_position(dataset.name)))
