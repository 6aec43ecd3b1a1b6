"""Arrays as TensorStore keeps them in a directory of this machine; Orbax writes them so."""

import shutil
from pathlib import Path
from typing import Any

PROBE = b"ardm" * 64


def check(folder: Path) -> None:
    """Write, read and remove a small database.

    TensorStore locks, syncs and renames files in ways of its own, which some mounted drives refuse.

    Args:
        folder: does not exist yet.

    Raises:
        OSError: TensorStore cannot write here, or reads something else.
    """
    try:
        database = _open(folder)
        database.write("probe", PROBE).result()
        if _open(folder).read("probe").result().value != PROBE:
            raise OSError(f"TensorStore reads something else than it has written in {folder}")
    except ValueError as error:  # what TensorStore raises for every error of a file system
        raise OSError(f"TensorStore cannot write arrays here: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def repack(folder: Path, to: Path) -> None:
    """Copy a database into as few files as possible: on a bucket each of them costs a request.

    Args:
        folder: holds the database; Orbax (0.12.8) leaves some ten files there.
        to: gets the same keys and values in two files.
    """
    import tensorstore

    source, target = _open(folder), _open(to)
    with tensorstore.Transaction() as transaction:
        writing = target.with_transaction(transaction)
        for key in source.list().result():
            writing.write(key, source.read(key).result().value).result()


def _open(folder: Path) -> Any:
    # Its import takes half a second, which a command that only reads small objects does not need.
    import tensorstore

    base = {"driver": "file", "path": f"{folder}/"}
    return tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result()
