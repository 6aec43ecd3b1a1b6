"""Checkpoints of a run: written, found, verified, pruned. The only file that imports Orbax.

One process writes the complete state, which every worker holds alike; so no barrier among workers
stands between a notice and a committed checkpoint, and a dead worker cannot hang a save.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ardm.errors import ArdmError
from ardm.runs.digest import digest
from ardm.runs.layout import Run

log = logging.getLogger(__name__)

# Orbax tells what it does at INFO and WARNING in many lines per save; our ledger records saves.
logging.getLogger("absl").setLevel(logging.ERROR)


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
    """
    found = metadata(uri)
    try:
        with _checkpointer() as checkpointer:
            state = checkpointer.restore(uri, args=_as_numpy(template))
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise Damaged(f"cannot be read: {_first_line(error)}") from error
    _require_shapes(state, template)
    _require_digest(state, found["digest"])
    return state, found


def metadata(uri: str) -> dict[str, Any]:
    """What was committed together with the arrays, which are not looked at.

    Raises:
        Damaged: it cannot be read, or holds no digest.
    """
    try:
        with _checkpointer() as checkpointer:
            found = dict(checkpointer.metadata(uri).custom_metadata or {})
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise Damaged(f"cannot be read: {_first_line(error)}") from error
    if "digest" not in found:
        raise Damaged("carries no digest")
    return found


def verify(uri: str) -> dict[str, Any]:
    """Check the digest of a checkpoint whose shapes are not known; returns its metadata.

    Raises:
        Damaged: with the reason.
    """
    found = metadata(uri)
    try:
        with _checkpointer() as checkpointer:
            tree = checkpointer.metadata(uri).item_metadata.tree
            like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
            state = checkpointer.restore(uri, args=_as_numpy(like))
    except Exception as error:  # damage surfaces as errors of every library below Orbax
        raise Damaged(f"cannot be read: {_first_line(error)}") from error
    _require_digest(state, found["digest"])
    return found


def committed(run: Run) -> list[Checkpoint]:
    """All checkpoints whose save was finished, the newest first (by step, then attempt)."""
    found = [place for place in _places(run) if ocp.path.step.is_path_finalized(place.uri)]
    return sorted(found, key=lambda place: (place.step, place.attempt), reverse=True)


def newest_verified(
    run: Run, template: Any, skipped: Callable[[Checkpoint, str], None]
) -> tuple[Checkpoint, Any, dict[str, Any]] | None:
    """The newest state that can be trusted.

    Args:
        run: the run, all of whose attempts are looked at.
        template: see `load`.
        skipped: told of each newer checkpoint that was passed over, and why.

    Returns:
        The checkpoint, its state and its metadata; None where no checkpoint is sound.
    """
    for place in sorted(_places(run), key=lambda p: (p.step, p.attempt), reverse=True):
        if not ocp.path.step.is_path_finalized(place.uri):
            skipped(place, "unfinished")
            continue
        try:
            state, metadata = _load_twice(place.uri, template)
        except Damaged as error:
            skipped(place, str(error))
            continue
        return place, state, metadata
    return None


def _load_twice(uri: str, template: Any) -> tuple[Any, dict[str, Any]]:
    """A hiccup of the store looks like damage; true damage is still there at a second look."""
    try:
        return load(uri, template)
    except Damaged as error:
        log.warning("checkpoint %s %s; it is read once more", uri, error)
        return load(uri, template)


def set_aside(place: Checkpoint) -> str:
    """Move a damaged checkpoint out of the way, where it can be inspected.

    Returns:
        Its new name in the store.
    """
    store = place.run.store
    name = place.run.damaged(place.attempt, place.step)
    store.remove_tree(name)
    store.move_tree(place.name, name)
    return name


def prune(newest: Checkpoint, keep_last: int, keep_every: int | None) -> list[int]:
    """Remove checkpoints that are older than the newest ones; only the newest attempt may.

    Args:
        newest: just committed by the caller; later steps, which only a damaged checkpoint of an
            earlier attempt can have, are neither counted nor touched.
        keep_last: how many steps are kept, `newest` included.
        keep_every: steps divisible by it are kept as well.

    Returns:
        The steps that were removed.
    """
    places = [place for place in committed(newest.run) if place.step <= newest.step]
    steps = sorted({place.step for place in places}, reverse=True)
    kept = set(steps[:keep_last]) | {s for s in steps if keep_every and s % keep_every == 0}
    gone = [place for place in places if place.step not in kept]
    for place in gone:
        newest.run.store.remove_tree(place.name)
    return [place.step for place in gone]


def size(place: Checkpoint) -> int:
    """Bytes that a checkpoint takes in the store."""
    return int(place.run.store.fs.du(place.run.store.path(place.name)))


def _places(run: Run) -> list[Checkpoint]:
    places = []
    for attempt in run.store.names(run.checkpoints_dir):
        for step in run.store.names(f"{run.checkpoints_dir}/{attempt}"):
            # A local save in progress carries a suffix until it is renamed into place.
            if re.fullmatch(r"\d{6}", attempt) and re.fullmatch(r"\d+", step):
                places.append(Checkpoint(run, int(attempt), int(step)))
    return places


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


def _require_digest(state: Any, expected: str) -> None:
    found = digest(state)
    if found != expected:
        raise Damaged(f"digest differs: expected {expected[:12]}, found {found[:12]}")


def _require_shapes(state: Any, template: Any) -> None:
    """Orbax pads or truncates quietly where shapes differ; a state of another model is damage."""

    def compare(path: Any, leaf: Any, like: Any) -> None:
        if (leaf.shape, leaf.dtype) != (like.shape, like.dtype):
            raise Damaged(
                f"{jax.tree_util.keystr(path)}: expected {like.dtype}{list(like.shape)}, "
                f"found {leaf.dtype}{list(leaf.shape)}"
            )

    jax.tree_util.tree_map_with_path(compare, state, template)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
