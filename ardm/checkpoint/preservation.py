"""Which checkpoints stay: old ones are pruned, failed saves swept up, damaged ones quarantined."""

import re
import uuid
from collections.abc import Callable, Iterator, Sequence

from ardm.checkpoint import checkpoints
from ardm.checkpoint.checkpoints import UNFINISHED_LOCALLY, Checkpoint, Entry
from ardm.checkpoint.serialization import COMPLETE, Damaged
from ardm.store import overrides
from ardm.store.run_directory import Run

KEEP_DAMAGED = 3
"""Damaged checkpoints of a run that are kept for inspection."""


def prune(
    newest: Checkpoint,
    keep_last: int,
    keep_every: int | None,
    *,
    boundaries: Sequence[int] | None = None,
    held: Callable[[int, int], bool] = lambda attempt, step: False,
) -> list[int]:
    """Remove checkpoints that are older than the newest ones; only the newest attempt may.

    Args:
        newest: just committed by the caller; newer ones, which only a damaged checkpoint of an
            earlier attempt can be, are neither counted nor touched, and nothing is that a
            newer attempt wrote.
        keep_last: how many steps are kept, `newest` included.
        keep_every: steps divisible by it are kept as well.
        boundaries: of `overrides.boundaries`, if they are known.
        held: whether somebody reads the checkpoint of an attempt and step; then it stays.

    Returns:
        The steps that were removed.
    """
    if boundaries is None:
        boundaries = overrides.boundaries(newest.run)
    mine = checkpoints.rank(newest, boundaries)
    found = [
        entry
        for entry in checkpoints.entries(newest.run, boundaries)
        if entry.committed
        and checkpoints.rank(entry.checkpoint, boundaries) <= mine
        and entry.checkpoint.attempt <= newest.attempt
    ]
    # A step that two attempts have saved counts once, unless they trained something else.
    steps = list(dict.fromkeys(_rank(entry, boundaries) for entry in found))
    kept = set(steps[:keep_last]) | {s for s in steps if keep_every and s[1] % keep_every == 0}
    old = [entry for entry in found if _rank(entry, boundaries) not in kept]
    gone = [entry for entry in old if not held(entry.checkpoint.attempt, entry.checkpoint.step)]
    for entry in gone:
        _remove(entry)
    return [entry.checkpoint.step for entry in gone]


def sweep(run: Run, number: int) -> list[str]:
    """Remove the unfinished saves of attempts that came before; only the newest attempt may.

    Args:
        run: the run.
        number: of the caller's attempt; what it or a newer one writes is not looked at.

    Returns:
        The names of what was removed.
    """
    earlier = [n for n in checkpoints.attempts(run) if n < number]
    gone = [name for n in earlier for _, name in _unfinished_locally(run, n)]
    gone += [
        entry.checkpoint.name
        for entry in checkpoints.entries(run)
        if entry.checkpoint.attempt < number and not entry.committed
    ]
    for name in gone:
        _take_away(run, name)
    return gone


def discard(checkpoint: Checkpoint) -> None:
    """Remove what a save that failed has left behind; a finished checkpoint is not touched."""
    run = checkpoint.run
    for step, name in _unfinished_locally(run, checkpoint.attempt):
        if step == checkpoint.step:
            _take_away(run, name)
    for entry in checkpoints.entries(run):
        if entry.checkpoint == checkpoint and not entry.committed:
            _take_away(run, checkpoint.name)


def is_good(checkpoint: Checkpoint, digest: str) -> bool:
    """Whether a finished checkpoint lies there whose content has this digest.

    Raises:
        OSError: or another error of the file system: nobody knows, for the store does not answer.
    """
    if checkpoint not in checkpoints.committed(checkpoint.run):
        return False
    try:
        return bool(checkpoints.verify(checkpoint)["digest"] == digest)
    except (Damaged, checkpoints.Gone):
        return False


def quarantine(checkpoint: Checkpoint) -> str:
    """Move a damaged checkpoint out of the way, where it can be inspected.

    Of those moved before, the last ones stay.

    Returns:
        Its new name in the store.
    """
    run, store = checkpoint.run, checkpoint.run.store
    name = run.damaged(checkpoint.attempt, checkpoint.step)
    store.remove_tree(name)
    store.move_tree(checkpoint.name, name)
    before = [
        (int(attempt), int(step))
        for attempt in store.names(run.damaged_dir)
        for step in store.names(f"{run.damaged_dir}/{attempt}")
        if attempt.isdigit() and step.isdigit()
    ]
    others = sorted(set(before) - {(checkpoint.attempt, checkpoint.step)}, reverse=True)
    for old in others[KEEP_DAMAGED - 1 :]:
        store.remove_tree(run.damaged(*old))
    return name


def _rank(entry: Entry, boundaries: Sequence[int]) -> tuple[int, int]:
    return checkpoints.rank(entry.checkpoint, boundaries)[:2]


def _remove(entry: Entry) -> None:
    """Remove a checkpoint; from the first moment on nobody takes what is left for a whole one."""
    store, name = entry.checkpoint.run.store, entry.checkpoint.name
    store.remove([f"{name}/{COMPLETE}"])
    store.remove([f"{name}/{file}" for file in entry.files if file != COMPLETE])
    if store.is_local:
        store.remove_tree(name)


def _take_away(run: Run, name: str) -> None:
    """Remove an unfinished save, so that nobody who is still at it makes half of it a checkpoint.

    Elsewhere what is removed is missing from it even once its last file is there.
    """
    if run.store.takes_whole_trees:
        aside = f"{name.removesuffix(UNFINISHED_LOCALLY)}{UNFINISHED_LOCALLY}.{uuid.uuid4().hex}"
        run.store.move_tree(name, aside)
        name = aside
    run.store.remove_tree(name)


def _unfinished_locally(run: Run, attempt: int) -> Iterator[tuple[int, str]]:
    """Step and name of every local save that was not renamed into place."""
    folder = f"{run.checkpoints_dir}/{attempt:06d}"
    for name in run.store.names(folder):
        if found := re.fullmatch(rf"(\d+){re.escape(UNFINISHED_LOCALLY)}.*", name):
            yield int(found.group(1)), f"{folder}/{name}"
