"""Writes, reads and verifies a training state as local files. No other module imports Orbax.

Every checkpoint is written to a local directory and read from one. `ardm.store` copies it to a
bucket and back, as it does every other file. So no library with its own connection or credentials
reads the bucket: it could fail where the store works, and its failure would look like damage.

One process writes the complete state, which is the same on every worker. So no barrier among
workers delays the save after a preemption notice, and a dead worker cannot make a save hang.
"""

import json
import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ardm.checkpoint.digest import digest, not_finite_part
from ardm.errors import ArdmError, InputError, in_a_line
from ardm.store import arrays
from ardm.store.run_directory import METADATA

# Orbax logs many lines per save; the event log records each save already.
logging.getLogger("absl").setLevel(logging.ERROR)

COMPLETE = "commit_success.txt"
"""The commit file: written last, so that in a bucket a checkpoint without it is unfinished."""

_DESCRIPTIONS = (METADATA, "_METADATA", COMPLETE)
_MANIFEST, _ARRAYS = "manifest.ocdbt", "d/"
"""Names in OCDBT, the format of TensorStore: the manifest, and the directory of the arrays."""


class Damaged(ArdmError):
    """A checkpoint whose bytes could be read, and are not those that were written."""


class NotFinite(Damaged):
    """A checkpoint whose bytes are intact, but which holds a NaN or an infinity."""


def is_finished(files: Collection[str]) -> bool:
    """Whether a save was finished, judged by the names of its files.

    The commit file alone does not prove it: another process that took the save for an abandoned one
    may have removed some of the other files.
    """
    present = {_ARRAYS if name.startswith(_ARRAYS) else name for name in files}
    return present.issuperset((*_DESCRIPTIONS, _MANIFEST, _ARRAYS))


def write(folder: Path, state: Any, metadata: dict[str, Any], *, few_files: bool) -> int:
    """Write a checkpoint.

    Args:
        folder: the directory to create.
        state: a pytree of host arrays.
        metadata: JSON values committed together with the arrays; `digest` is among them.
        few_files: whether to repack it into five files, which costs some time here but saves
            requests to a store in which each file costs one.

    Returns:
        The size of all files in bytes.

    Raises:
        OSError: the files cannot be written, or Orbax leaves others than those of a finished save.
    """
    orbax = folder.with_name(f"{folder.name}.orbax") if few_files else folder
    try:
        with _checkpointer() as checkpointer:
            args = ocp.args.PyTreeSave(state)
            checkpointer.save(orbax, args=args, custom_metadata=metadata, force=True)
        if not is_finished(files := _sizes(orbax)):  # it would count as unfinished for ever
            raise OSError(
                f"Orbax {ocp.__version__} has written other files than expected: {sorted(files)}; "
                "install a version that ardm allows (`pip install ardm`)"
            )
        if few_files:
            folder.mkdir(parents=True)
            arrays.repack(orbax, folder)
            for name in _DESCRIPTIONS:
                shutil.copyfile(orbax / name, folder / name)
    finally:
        if few_files:
            shutil.rmtree(orbax, ignore_errors=True)
    return sum(_sizes(folder).values())


def _sizes(folder: Path) -> dict[str, int]:
    """The size in bytes of every file below a directory, by its path relative to it."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}


def load(folder: Path, template: Any) -> tuple[Any, dict[str, Any]]:
    """Read a checkpoint and verify its digest.

    Args:
        folder: the directory of the checkpoint.
        template: a pytree of `jax.ShapeDtypeStruct` like the state.

    Returns:
        The state as host arrays, and the metadata.

    Raises:
        Damaged: its bytes are not those that were written; the message says how it was noticed.
        OSError: its bytes cannot be read, so it is not known whether they are right.
        InputError: it is intact, but of another model or another version of ardm.
    """
    metadata, shapes = _describe(folder)
    if difference := _difference(shapes, template):
        _restore(folder, shapes, metadata["digest"])
        raise InputError(
            f"checkpoint {folder} is whole, but not of this model or not of this version of ardm "
            f"({difference}); go on with what wrote it. It was left as it is."
        )
    return _restore(folder, template, metadata["digest"]), metadata


def verify(folder: Path) -> dict[str, Any]:
    """Check the digest of a checkpoint whose shapes are not known; returns its metadata.

    Raises:
        Damaged: its bytes are not those that were written; the message says how it was noticed.
        OSError: its bytes cannot be read, so it is not known whether they are right.
    """
    return load_any(folder)[1]


def load_any(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Read a checkpoint whose shapes are not known, and verify its digest.

    Returns:
        The arrays in plain containers, and the metadata.

    Raises:
        Damaged, OSError: as `load` does.
    """
    metadata, shapes = _describe(folder)
    return _restore(folder, shapes, metadata["digest"]), metadata


def parse_metadata(data: bytes) -> dict[str, Any]:
    """The metadata committed together with the arrays, from the content of the file `METADATA`.

    Raises:
        Damaged: the content cannot be parsed, or holds no digest.
    """
    try:
        metadata = dict(json.loads(data)["custom_metadata"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"its metadata cannot be read: {in_a_line(error, 200)}") from error
    if not isinstance(metadata.get("digest"), str):
        raise Damaged("carries no digest")
    return metadata


def _describe(folder: Path) -> tuple[dict[str, Any], Any]:
    """The metadata, and a pytree of the shapes of the arrays."""
    try:
        metadata = parse_metadata((folder / METADATA).read_bytes())
        with _checkpointer() as checkpointer:
            items = checkpointer.metadata(folder).item_metadata
        return metadata, jax.tree.map(_shape, items.tree)
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise _explained(folder, error) from error


def _restore(folder: Path, template: Any, expected: str) -> Any:
    """Read the state, and require the expected digest."""
    try:
        with _checkpointer() as checkpointer:
            state = checkpointer.restore(folder, args=_as_numpy(template))
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise _explained(folder, error) from error
    if (actual := digest(state)) != expected:
        raise Damaged(f"digest differs: expected {expected[:12]}, found {actual[:12]}")
    if part := not_finite_part(state):
        # Earlier versions of ardm saved diverged states.
        raise NotFinite(f"holds values that are not finite ({part})")
    return state


def _explained(folder: Path, error: Exception) -> Exception:
    """Interpret an error during reading: it means damage if every file can be read.

    Returns:
        The error to raise.

    Raises:
        OSError: a file cannot be read.
        MemoryError: there was too little memory to read the checkpoint.
    """
    if isinstance(error, Damaged):
        return error
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        raise MemoryError(
            f"checkpoint {folder} needs more memory: {in_a_line(error, 200)}"
        ) from error
    for directory, _, names in os.walk(folder):
        for name in names:
            with Path(directory, name).open("rb") as content:
                while content.read(2**24):
                    pass
    return Damaged(f"cannot be read: {in_a_line(error, 200)}")


def _checkpointer() -> ocp.Checkpointer:
    this_process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=this_process,
        active_processes={this_process},
        barrier_sync_key_prefix=f"ardm-{this_process}",
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _as_numpy(template: Any) -> ocp.args.PyTreeRestore:
    restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), template)
    return ocp.args.PyTreeRestore(item=template, restore_args=restore_args)


def _shape(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _difference(shapes: Any, template: Any) -> str | None:
    """The first difference of two trees of shapes; Orbax would pad or truncate without an error."""
    actual, expected = _named(shapes), _named(template)
    for name in sorted(actual.keys() | expected.keys()):
        ours, stored = expected.get(name, "nothing"), actual.get(name, "nothing")
        if ours != stored:
            return f"{name}: expected {ours}, found {stored}"
    return None


def _named(shapes: Any) -> dict[str, str]:
    """Type and shape of every array by its path, whatever the types of the containers."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }
