"""TensorStore databases in local directories: the format in which Orbax writes arrays."""

import shutil
from pathlib import Path
from typing import Any

PROBE = b"ardm" * 64


def check(folder: Path) -> None:
    """Write, read and remove a small database.

    TensorStore locks, syncs and renames files in its own way, which some mounted drives refuse.

    Args:
        folder: path of the database, which must not exist yet.

    Raises:
        OSError: TensorStore cannot write there, or reads back something else.
    """
    try:
        database = _open(folder)
        database.write("probe", PROBE).result()
        if _open(folder).read("probe").result().value != PROBE:
            raise OSError(f"TensorStore did not read back what it wrote in {folder}")
    except ValueError as error:  # what TensorStore raises for every error of a file system
        raise OSError(f"TensorStore cannot write arrays here: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def repack(folder: Path, to: Path) -> None:
    """Copy a database into as few files as possible: in a bucket each file costs a request.

    Args:
        folder: directory of the database; Orbax (0.12.8) writes about ten files there.
        to: directory of the copy, which gets the same keys and values in two files.
    """
    import tensorstore

    source, target = _open(folder), _open(to)
    with tensorstore.Transaction() as transaction:
        batch = target.with_transaction(transaction)
        for key in source.list().result():
            batch.write(key, source.read(key).result().value).result()


def _open(folder: Path) -> Any:
    # The import takes half a second, and a command that reads only small objects does without.
    import tensorstore

    base = {"driver": "file", "path": f"{folder}/"}
    return tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result()
