"""A training state as files: written, read and verified. The only file that imports Orbax.

One process writes the complete state, which every worker holds alike; so no barrier among workers
stands between a notice and a committed checkpoint, and a dead worker cannot hang a save.
"""

import logging
import os
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint._src.serialization import tensorstore_utils

from ardm.errors import ArdmError, InputError
from ardm.runs.digest import digest

# Orbax tells what it does at INFO and WARNING in many lines per save; our ledger records saves.
logging.getLogger("absl").setLevel(logging.ERROR)

# TensorStore (0.1.86), which writes the arrays, waits for ever for a server that is silent.
for _name, _value in {"CONNECT_TIMEOUT": "5", "LOW_SPEED_TIME": "15"}.items():
    os.environ.setdefault(f"TENSORSTORE_CURL_{_name}_SECONDS", _value)
os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES", "1")

# It also tries 32 times, for a quarter of an hour, before it says that a store is down; the saver
# has a back-off of its own and a newer state to save. Orbax (0.12.8) lets nobody choose that.
_RETRIES = {"max_retries": 6, "initial_delay": "500ms", "max_delay": "4s"}
for _context in (
    tensorstore_utils._BASE_TS_CONTEXT,
    tensorstore_utils._DEFAULT_OCDBT_TS_CONTEXT,
):
    _context["gcs_request_retries"] = _RETRIES


class Damaged(ArdmError):
    """A checkpoint whose content cannot be read or is not what was written."""


def save(uri: str, state: Any, metadata: dict[str, Any]) -> None:
    """Write a checkpoint and commit it.

    Args:
        uri: the checkpoint's own directory; what a cut-off save left there is replaced.
        state: a pytree of host arrays.
        metadata: JSON values committed together with the arrays; `digest` is among them.
    """
    with _checkpointer() as checkpointer:
        args = ocp.args.PyTreeSave(state)
        checkpointer.save(uri, args=args, custom_metadata=metadata, force=True)


def load(uri: str, template: Any) -> tuple[Any, dict[str, Any]]:
    """Read a checkpoint and verify its digest.

    Args:
        uri: the checkpoint's own directory.
        template: a pytree of `jax.ShapeDtypeStruct` like the state.

    Returns:
        The state as host arrays, and the metadata.

    Raises:
        Damaged: with the reason.
        InputError: it is whole, and no such state: another model's, or another version's of ardm.
    """
    found, shapes = _described(uri)
    if difference := _difference(shapes, template):
        _restore(uri, shapes, found["digest"])
        raise InputError(
            f"checkpoint {uri} is whole, but not of this model or not of this version of ardm "
            f"({difference}); go on with what wrote it. It was left as it is."
        )
    return _restore(uri, template, found["digest"]), found


def verify(uri: str) -> dict[str, Any]:
    """Check the digest of a checkpoint whose shapes are not known; returns its metadata.

    Raises:
        Damaged: with the reason.
    """
    found, shapes = _described(uri)
    _restore(uri, shapes, found["digest"])
    return found


def metadata(uri: str) -> dict[str, Any]:
    """What was committed together with the arrays, which are not looked at.

    Raises:
        Damaged: it cannot be read, or holds no digest.
    """
    return _about(uri)[0]


def _about(uri: str) -> tuple[dict[str, Any], Any]:
    """The metadata, and what Orbax knows of the arrays."""
    try:
        with _checkpointer() as checkpointer:
            about = checkpointer.metadata(uri)
            found = dict(about.custom_metadata or {})
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise Damaged(f"cannot be read: {_first_line(error)}") from error
    if "digest" not in found:
        raise Damaged("carries no digest")
    return found, about.item_metadata


def _described(uri: str) -> tuple[dict[str, Any], Any]:
    """The metadata, and a pytree of the shapes of the arrays."""
    found, items = _about(uri)
    try:
        return found, jax.tree.map(_shape, items.tree)
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise Damaged(f"cannot be read: {_first_line(error)}") from error


def _restore(uri: str, like: Any, expected: str) -> Any:
    """A state whose digest is the expected one."""
    try:
        with _checkpointer() as checkpointer:
            state = checkpointer.restore(uri, args=_as_numpy(like))
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise Damaged(f"cannot be read: {_first_line(error)}") from error
    if (found := digest(state)) != expected:
        raise Damaged(f"digest differs: expected {expected[:12]}, found {found[:12]}")
    return state


def is_committed(uri: str) -> bool:
    """Whether the save of a checkpoint was finished."""
    return bool(ocp.path.step.is_path_finalized(uri))


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
