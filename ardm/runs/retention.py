"""Which checkpoints stay: old ones are pruned, failed saves swept up, damaged ones put aside."""

import re
from collections.abc import Iterator

from ardm.runs import checkpoints, state_files
from ardm.runs.checkpoints import Checkpoint
from ardm.runs.layout import Run

_UNFINISHED_LOCALLY = r"(\d+)\.orbax-checkpoint-tmp.*"
"""What Orbax calls a local save until it is renamed into place."""


def prune(newest: Checkpoint, keep_last: int, keep_every: int | None) -> list[int]:
    """Remove checkpoints that are older than the newest ones; only the newest attempt may.

    Args:
        newest: just committed by the caller; later steps, which only a damaged checkpoint of an
            earlier attempt can have, are neither counted nor touched, and nothing is that a
            newer attempt wrote.
        keep_last: how many steps are kept, `newest` included.
        keep_every: steps divisible by it are kept as well.

    Returns:
        The steps that were removed.
    """
    places = [
        place
        for place in checkpoints.committed(newest.run)
        if place.step <= newest.step and place.attempt <= newest.attempt
    ]
    steps = sorted({place.step for place in places}, reverse=True)
    kept = set(steps[:keep_last]) | {s for s in steps if keep_every and s % keep_every == 0}
    gone = [place for place in places if place.step not in kept]
    for place in gone:
        newest.run.store.remove_tree(place.name)
    return [place.step for place in gone]


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
    older = [place for place in checkpoints.places(run) if place.attempt < number]
    gone += [place.name for place in older if not state_files.is_committed(place.uri)]
    for name in gone:
        run.store.remove_tree(name)
    return gone


def discard(place: Checkpoint) -> None:
    """Remove what a save that failed has left behind; a finished checkpoint is not touched."""
    for step, name in _unfinished_locally(place.run, place.attempt):
        if step == place.step:
            place.run.store.remove_tree(name)
    if place in checkpoints.places(place.run) and not state_files.is_committed(place.uri):
        place.run.store.remove_tree(place.name)


def is_good(place: Checkpoint, digest: str) -> bool:
    """Whether a finished checkpoint lies there whose content has this digest.

    Raises:
        OSError: or another error of the file system: nobody knows, for the store does not answer.
    """
    if place not in checkpoints.places(place.run) or not state_files.is_committed(place.uri):
        return False
    try:
        return bool(state_files.verify(place.uri)["digest"] == digest)
    except state_files.Damaged:
        checkpoints.require_answers(place)
        return False


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


def _unfinished_locally(run: Run, attempt: int) -> Iterator[tuple[int, str]]:
    """Step and name of every local save that was not renamed into place."""
    folder = f"{run.checkpoints_dir}/{attempt:06d}"
    for name in run.store.names(folder):
        if found := re.fullmatch(_UNFINISHED_LOCALLY, name):
            yield int(found.group(1)), f"{folder}/{name}"
