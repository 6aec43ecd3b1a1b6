"""The newest state of a run that can be trusted."""

import logging
from collections.abc import Callable
from typing import Any

from ardm.checkpoint import checkpoints
from ardm.checkpoint.checkpoints import Checkpoint, Gone, Unfinished
from ardm.checkpoint.serialization import Damaged
from ardm.errors import Unreadable
from ardm.outages import of_the_store
from ardm.store.run_directory import Run

log = logging.getLogger(__name__)

LISTINGS = 20
"""Times that a reader looks for another checkpoint when the one it reads is pruned."""


def newest_verified(
    run: Run,
    template: Any,
    skipped: Callable[[Checkpoint, Exception], None],
    *,
    fall_back: bool = True,
) -> tuple[Checkpoint, Any, dict[str, Any]] | None:
    """The newest state that can be trusted.

    Args:
        run: the run, all of whose attempts are looked at.
        template: see `checkpoints.load`.
        skipped: called with each newer checkpoint that was passed over, and why: `Damaged` if its
            bytes are wrong, any other error if they could not be read.
        fall_back: whether to pass over a checkpoint that cannot be read; a store that fails for a
            while would cost the steps up to the next older one.

    Returns:
        The checkpoint, its state and its metadata; None where no checkpoint is sound.

    Raises:
        Unreadable: there are checkpoints, and none can be read.
        OSError: or another error of the file system, unless `fall_back`.
    """
    return newest_usable(
        run, lambda checkpoint: _load_twice(checkpoint, template), skipped, fall_back=fall_back
    )


def newest_usable(
    run: Run,
    read: Callable[[Checkpoint], tuple[Any, dict[str, Any]]],
    skipped: Callable[[Checkpoint, Exception], None],
    *,
    fall_back: bool = True,
) -> tuple[Checkpoint, Any, dict[str, Any]] | None:
    """The newest checkpoint that something can be read from; see `newest_verified`."""
    passed: dict[Checkpoint, Exception] = {}
    unfinished: set[Checkpoint] = set()
    for _ in range(LISTINGS):
        try:
            for entry in checkpoints.entries(run):
                if entry.checkpoint in passed:
                    continue
                if not entry.committed:
                    # It may be finished by the next listing, when the others are gone.
                    if entry.checkpoint not in unfinished:
                        unfinished.add(entry.checkpoint)
                        skipped(entry.checkpoint, Unfinished("unfinished"))
                    continue
                try:
                    found, about = read(entry.checkpoint)
                except Damaged as error:
                    passed[entry.checkpoint] = error
                    skipped(entry.checkpoint, error)
                    continue
                except Exception as error:
                    if not fall_back or not of_the_store(error):
                        raise
                    passed[entry.checkpoint] = error
                    skipped(entry.checkpoint, error)
                    continue
                return entry.checkpoint, found, about
        except Gone:
            continue
        break
    unread = [error for error in passed.values() if not isinstance(error, Damaged)]
    if unread:
        reason = f"{type(unread[0]).__name__}: {unread[0]}"
        raise Unreadable(
            f"none of {len(unread)} checkpoints of {run.uri} can be read ({reason}). They were "
            "left as they are; restore the access to them and run the same command again."
        ) from unread[0]
    return None


def _load_twice(checkpoint: Checkpoint, template: Any) -> tuple[Any, dict[str, Any]]:
    """Read again what looks damaged: bytes may be lost on their way from the store."""
    try:
        return checkpoints.load(checkpoint, template)
    except Damaged as error:
        log.warning("checkpoint %s %s; it is read once more", checkpoint.uri, error)
    return checkpoints.load(checkpoint, template)
