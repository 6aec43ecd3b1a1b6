"""Checkpoints of a run: written, found and verified. The only file that imports Orbax.

One process writes the complete state, which every worker holds alike; so no barrier among workers
stands between a notice and a committed checkpoint, and a dead worker cannot hang a save.
"""

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint._src.serialization import tensorstore_utils

from ardm.errors import ArdmError, InputError
from ardm.runs.digest import digest
from ardm.runs.layout import Run

log = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Checkpoint:
    """A place where a checkpoint lies."""

    run: Run
    attempt: int
    step: int

    @property
    def name(self) -> str:
        """Its path in the store."""
        return self.run.checkpoint(self.attempt, self.step)

    @property
    def uri(self) -> str:
        return self.run.store.url(self.name)


class Damaged(ArdmError):
    """A checkpoint whose content cannot be read or is not what was written."""


class Unfinished(Damaged):
    """A checkpoint whose save was never finished."""


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
    found, shapes = _about(uri)
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
    found, shapes = _about(uri)
    _restore(uri, shapes, found["digest"])
    return found


def metadata(uri: str) -> dict[str, Any]:
    """What was committed together with the arrays, which are not looked at.

    Raises:
        Damaged: it cannot be read, or holds no digest.
    """
    return _about(uri)[0]


def _about(uri: str) -> tuple[dict[str, Any], Any]:
    """The metadata, and a pytree of the shapes of the arrays."""
    try:
        with _checkpointer() as checkpointer:
            about = checkpointer.metadata(uri)
            found = dict(about.custom_metadata or {})
            shapes = jax.tree.map(_shape, about.item_metadata.tree)
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise Damaged(f"cannot be read: {_first_line(error)}") from error
    if "digest" not in found:
        raise Damaged("carries no digest")
    return found, shapes


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


def is_committed(place: Checkpoint) -> bool:
    """Whether the save of a checkpoint was finished."""
    return bool(ocp.path.step.is_path_finalized(place.uri))


def committed(run: Run) -> list[Checkpoint]:
    """All checkpoints whose save was finished, the newest first (by step, then attempt)."""
    found = [place for place in places(run) if is_committed(place)]
    return sorted(found, key=lambda place: (place.step, place.attempt), reverse=True)


def newest_verified(
    run: Run, template: Any, skipped: Callable[[Checkpoint, Damaged], None]
) -> tuple[Checkpoint, Any, dict[str, Any]] | None:
    """The newest state that can be trusted.

    Args:
        run: the run, all of whose attempts are looked at.
        template: see `load`.
        skipped: told of each newer checkpoint that was passed over, and why.

    Returns:
        The checkpoint, its state and its metadata; None where no checkpoint is sound.

    Raises:
        OSError: or another error of the file system: the store does not answer, which says nothing
            about the checkpoints.
    """
    for place in sorted(places(run), key=lambda p: (p.step, p.attempt), reverse=True):
        if not is_committed(place):
            skipped(place, Unfinished("unfinished"))
            continue
        try:
            state, metadata = _load_twice(place, template)
        except Damaged as error:
            skipped(place, error)
            continue
        return place, state, metadata
    return None


def _load_twice(place: Checkpoint, template: Any) -> tuple[Any, dict[str, Any]]:
    """A hiccup of the store looks like damage; true damage is there while the store answers."""
    try:
        return load(place.uri, template)
    except Damaged as error:
        log.warning("checkpoint %s %s; it is read once more", place.uri, error)
    require_answers(place)
    try:
        return load(place.uri, template)
    except Damaged:
        require_answers(place)
        raise


def require_answers(place: Checkpoint) -> None:
    """Let a store that is down say so, before its silence is taken for damage.

    Raises:
        OSError: or another error of the file system.
    """
    if not place.run.store.is_local:
        place.run.store.read_through(place.name)


def attempts(run: Run) -> list[int]:
    """Attempts that have written checkpoints, finished or not."""
    names = run.store.names(run.checkpoints_dir)
    return [int(name) for name in names if re.fullmatch(r"\d{6}", name)]


def places(run: Run) -> list[Checkpoint]:
    """Every checkpoint of a run, finished or not; not what is written locally just now."""
    found = []
    for attempt in attempts(run):
        for step in run.store.names(f"{run.checkpoints_dir}/{attempt:06d}"):
            # A local save in progress carries a suffix until it is renamed into place.
            if re.fullmatch(r"\d+", step):
                found.append(Checkpoint(run, attempt, int(step)))
    return found


def size(place: Checkpoint) -> int:
    """Bytes that a checkpoint takes in the store."""
    return place.run.store.size(place.name)


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
