"""Prunes old checkpoints, removes failed saves, and quarantines damaged checkpoints."""

import re
import uuid
from collections.abc import Callable, Iterator, Sequence

from ardm.checkpoint import checkpoints
from ardm.checkpoint.checkpoints import UNFINISHED_LOCALLY, Checkpoint, Entry
from ardm.checkpoint.serialization import COMPLETE, Damaged
from ardm.store import overrides
from ardm.store.run_directory import Run

KEEP_DAMAGED = 3
"""How many damaged checkpoints of a run are kept for inspection."""


def prune(
    newest: Checkpoint,
    keep_last: int,
    keep_every: int | None,
    *,
    boundaries: Sequence[int] | None = None,
    held: Callable[[int, int], bool] = lambda attempt, step: False,
) -> list[int]:
    """Remove all but the newest checkpoints; only the newest attempt may call this.

    Args:
        newest: the checkpoint that the caller has just committed. Checkpoints of newer attempts
            are neither counted nor removed; nor are newer checkpoints of earlier attempts, which
            can only be damaged ones.
        keep_last: how many of the newest steps are kept, `newest` included.
        keep_every: steps divisible by this number are kept as well.
        boundaries: the result of `overrides.boundaries`, if it is known.
        held: returns whether the checkpoint of an attempt and step is being read; if so, it is
            kept.

    Returns:
        The steps that were removed.
    """
    if boundaries is None:
        boundaries = overrides.boundaries(newest.run)
    newest_rank = checkpoints.rank(newest, boundaries)
    candidates = [
        entry
        for entry in checkpoints.entries(newest.run, boundaries)
        if entry.committed
        and checkpoints.rank(entry.checkpoint, boundaries) <= newest_rank
        and entry.checkpoint.attempt <= newest.attempt
    ]
    # A step that two attempts saved counts once, unless an override came between them.
    steps = list(dict.fromkeys(_rank(entry, boundaries) for entry in candidates))
    kept = set(steps[:keep_last]) | {s for s in steps if keep_every and s[1] % keep_every == 0}
    old = [entry for entry in candidates if _rank(entry, boundaries) not in kept]
    unused = [entry for entry in old if not held(entry.checkpoint.attempt, entry.checkpoint.step)]
    for entry in unused:
        _remove(entry)
    return [entry.checkpoint.step for entry in unused]


def sweep(run: Run, number: int) -> list[str]:
    """Remove the unfinished saves of earlier attempts; only the newest attempt may call this.

    Args:
        run: the run.
        number: the number of the caller's attempt; its saves and those of newer ones stay.

    Returns:
        The names of the removed saves in the store.
    """
    earlier = [n for n in checkpoints.attempts(run) if n < number]
    unfinished = [name for n in earlier for _, name in _unfinished_locally(run, n)]
    unfinished += [
        entry.checkpoint.name
        for entry in checkpoints.entries(run)
        if entry.checkpoint.attempt < number and not entry.committed
    ]
    for name in unfinished:
        _remove_unfinished(run, name)
    return unfinished


def discard(checkpoint: Checkpoint) -> None:
    """Remove the files of a failed save; a finished checkpoint is not touched."""
    run = checkpoint.run
    for step, name in _unfinished_locally(run, checkpoint.attempt):
        if step == checkpoint.step:
            _remove_unfinished(run, name)
    for entry in checkpoints.entries(run):
        if entry.checkpoint == checkpoint and not entry.committed:
            _remove_unfinished(run, checkpoint.name)


def is_good(checkpoint: Checkpoint, digest: str) -> bool:
    """Whether the checkpoint exists, is finished and has this digest.

    Raises:
        OSError: or another error of the file system: the store does not answer.
    """
    if checkpoint not in checkpoints.committed(checkpoint.run):
        return False
    try:
        return bool(checkpoints.verify(checkpoint)["digest"] == digest)
    except (Damaged, checkpoints.Gone):
        return False


def quarantine(checkpoint: Checkpoint) -> str:
    """Move a damaged checkpoint to where it is no longer read and can be inspected.

    The last `KEEP_DAMAGED` are kept.

    Returns:
        Its new name in the store.
    """
    run, store = checkpoint.run, checkpoint.run.store
    name = run.damaged(checkpoint.attempt, checkpoint.step)
    store.remove_tree(name)
    store.move_tree(checkpoint.name, name)
    quarantined = [
        (int(attempt), int(step))
        for attempt in store.names(run.damaged_dir)
        for step in store.names(f"{run.damaged_dir}/{attempt}")
        if attempt.isdigit() and step.isdigit()
    ]
    others = sorted(set(quarantined) - {(checkpoint.attempt, checkpoint.step)}, reverse=True)
    for old in others[KEEP_DAMAGED - 1 :]:
        store.remove_tree(run.damaged(*old))
    return name


def _rank(entry: Entry, boundaries: Sequence[int]) -> tuple[int, int]:
    return checkpoints.rank(entry.checkpoint, boundaries)[:2]


def _remove(entry: Entry) -> None:
    """Remove a checkpoint, its commit file first, so that a reader never takes it for finished."""
    store, name = entry.checkpoint.run.store, entry.checkpoint.name
    store.remove([f"{name}/{COMPLETE}"])
    store.remove([f"{name}/{file}" for file in entry.files if file != COMPLETE])
    if store.is_local:
        store.remove_tree(name)


def _remove_unfinished(run: Run, name: str) -> None:
    """Remove an unfinished save, so that a process still writing it cannot commit half of it.

    A local save is renamed first. In a bucket the removed files stay missing, so even with its
    commit file the save does not count as finished.
    """
    if run.store.takes_whole_trees:
        aside = f"{name.removesuffix(UNFINISHED_LOCALLY)}{UNFINISHED_LOCALLY}.{uuid.uuid4().hex}"
        run.store.move_tree(name, aside)
        name = aside
    run.store.remove_tree(name)


def _unfinished_locally(run: Run, attempt: int) -> Iterator[tuple[int, str]]:
    """Step and name of every local save that is not finished."""
    folder = f"{run.checkpoints_dir}/{attempt:06d}"
    for name in run.store.names(folder):
        if match := re.fullmatch(rf"(\d+){re.escape(UNFINISHED_LOCALLY)}.*", name):
            yield int(match.group(1)), f"{folder}/{name}"
