"""A training state as files of this machine: written, read, verified. The only importer of Orbax.

Every checkpoint is written to a directory of this machine and read from one. Between that directory
and a bucket it travels through the store like everything else, so a library with a route or with
credentials of its own can neither fail alone nor take its own failure for damage.

One process writes the complete state, which every worker holds alike; so no barrier among workers
stands between a notice and a committed checkpoint, and a dead worker cannot hang a save.
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

from ardm.checkpoint.digest import digest
from ardm.errors import ArdmError, InputError
from ardm.store import arrays
from ardm.store.run_directory import METADATA
from ardm.training.state import not_finite_part

# Orbax reports what it does in many lines per save; our ledger records saves.
logging.getLogger("absl").setLevel(logging.ERROR)

COMPLETE = "commit_success.txt"
"""The file that Orbax writes last; in a bucket, a checkpoint without it is unfinished."""

_DESCRIPTIONS = (METADATA, "_METADATA", COMPLETE)
_MANIFEST, _ARRAYS = "manifest.ocdbt", "d/"
"""Of OCDBT, TensorStore's format: the list of what there is, and the directory that holds it."""


class Damaged(ArdmError):
    """A checkpoint whose bytes were read and are not what was written."""


class NotFinite(Damaged):
    """A checkpoint that is what was written, but holds a NaN or an infinity: of no use."""


def is_finished(files: Collection[str]) -> bool:
    """Whether a save was finished, by the names of the files that are there.

    It takes more than the last of them: somebody who took the save for a dead one may have removed
    some of the others meanwhile.
    """
    there = {_ARRAYS if name.startswith(_ARRAYS) else name for name in files}
    return there.issuperset((*_DESCRIPTIONS, _MANIFEST, _ARRAYS))


def write(folder: Path, state: Any, metadata: dict[str, Any], *, few_files: bool) -> int:
    """Write a checkpoint.

    Args:
        folder: does not exist yet.
        state: a pytree of host arrays.
        metadata: JSON values committed together with the arrays; `digest` is among them.
        few_files: for a store in which each file costs a request: five files, for some more work.

    Returns:
        The bytes of all files.
    """
    orbax = folder.with_name(f"{folder.name}.orbax") if few_files else folder
    try:
        with _checkpointer() as checkpointer:
            args = ocp.args.PyTreeSave(state)
            checkpointer.save(orbax, args=args, custom_metadata=metadata, force=True)
        if few_files:
            folder.mkdir(parents=True)
            arrays.repack(orbax, folder)
            for name in _DESCRIPTIONS:
                shutil.copyfile(orbax / name, folder / name)
    finally:
        if few_files:
            shutil.rmtree(orbax, ignore_errors=True)
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def load(folder: Path, template: Any) -> tuple[Any, dict[str, Any]]:
    """Read a checkpoint and verify its digest.

    Args:
        folder: of the checkpoint.
        template: a pytree of `jax.ShapeDtypeStruct` like the state.

    Returns:
        The state as host arrays, and the metadata.

    Raises:
        Damaged: its bytes are wrong; with the reason.
        OSError: its bytes cannot be read, which says nothing about them.
        InputError: it is whole, but of another model or another version of ardm.
    """
    found, shapes = _describe(folder)
    if difference := _difference(shapes, template):
        _restore(folder, shapes, found["digest"])
        raise InputError(
            f"checkpoint {folder} is whole, but not of this model or not of this version of ardm "
            f"({difference}); go on with what wrote it. It was left as it is."
        )
    return _restore(folder, template, found["digest"]), found


def verify(folder: Path) -> dict[str, Any]:
    """Check the digest of a checkpoint whose shapes are not known; returns its metadata.

    Raises:
        Damaged: its bytes are wrong; with the reason.
        OSError: its bytes cannot be read, which says nothing about them.
    """
    return load_any(folder)[1]


def load_any(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Read a checkpoint whose shapes are not known, and verify its digest.

    Returns:
        The arrays in plain containers, and the metadata.

    Raises:
        Exception: as `load` does, except that no shape can be wrong.
    """
    found, shapes = _describe(folder)
    return _restore(folder, shapes, found["digest"]), found


def parse_metadata(data: bytes) -> dict[str, Any]:
    """What was committed together with the arrays, from the content of the file `METADATA`.

    Raises:
        Damaged: it is no such file, or holds no digest.
    """
    try:
        found = dict(json.loads(data)["custom_metadata"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"its metadata cannot be read: {_first_line(error)}") from error
    if not isinstance(found.get("digest"), str):
        raise Damaged("carries no digest")
    return found


def _describe(folder: Path) -> tuple[dict[str, Any], Any]:
    """The metadata, and a pytree of the shapes of the arrays."""
    try:
        found = parse_metadata((folder / METADATA).read_bytes())
        with _checkpointer() as checkpointer:
            items = checkpointer.metadata(folder).item_metadata
        return found, jax.tree.map(_shape, items.tree)
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise _explained(folder, error) from error


def _restore(folder: Path, like: Any, expected: str) -> Any:
    """A state whose digest is the expected one."""
    try:
        with _checkpointer() as checkpointer:
            state = checkpointer.restore(folder, args=_as_numpy(like))
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise _explained(folder, error) from error
    if (found := digest(state)) != expected:
        raise Damaged(f"digest differs: expected {expected[:12]}, found {found[:12]}")
    if part := not_finite_part(state):
        # Earlier versions saved what had diverged.
        raise NotFinite(f"holds values that are not finite ({part})")
    return state


def _explained(folder: Path, error: Exception) -> Exception:
    """What an error while reading means: damage, if every byte is there to be read.

    Returns:
        The error to raise.

    Raises:
        OSError: a file cannot be read.
        MemoryError: there was too little memory to read it.
    """
    if isinstance(error, Damaged):
        return error
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        raise MemoryError(f"checkpoint {folder} needs more memory: {_first_line(error)}") from error
    for directory, _, names in os.walk(folder):
        for name in names:
            with Path(directory, name).open("rb") as content:
                while content.read(2**24):
                    pass
    return Damaged(f"cannot be read: {_first_line(error)}")


def _checkpointer() -> ocp.Checkpointer:
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"ardm-{me}"
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _as_numpy(template: Any) -> ocp.args.PyTreeRestore:
    each = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), template)
    return ocp.args.PyTreeRestore(item=template, restore_args=each)


def _shape(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _difference(shapes: Any, template: Any) -> str | None:
    """Where two trees of shapes differ first; Orbax pads or truncates quietly where shapes do."""
    found, expected = _named(shapes), _named(template)
    for name in sorted(found.keys() | expected.keys()):
        one, other = expected.get(name, "nothing"), found.get(name, "nothing")
        if one != other:
            return f"{name}: expected {one}, found {other}"
    return None


def _named(shapes: Any) -> dict[str, str]:
    """Type and shape of every array, by its name in the tree whatever makes up the tree."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
