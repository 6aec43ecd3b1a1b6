"""Finds the newest checkpoint of a run that can be restored."""

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
"""How often the checkpoints are listed, if each time the one being read is pruned."""


def newest_verified(
    run: Run,
    template: Any,
    skipped: Callable[[Checkpoint, Exception], None],
    *,
    fall_back: bool = True,
) -> tuple[Checkpoint, Any, dict[str, Any]] | None:
    """Load the newest checkpoint whose digest verifies.

    Args:
        run: the run; the checkpoints of all its attempts are considered.
        template: a pytree of `jax.ShapeDtypeStruct`; see `checkpoints.load`.
        skipped: called with each newer checkpoint that is skipped, and the reason: `Damaged` if
            its bytes are wrong, any other error if they could not be read.
        fall_back: whether to skip a checkpoint that cannot be read. With a store that only fails
            for a while, this loses the steps since the next older checkpoint.

    Returns:
        The checkpoint, its state and its metadata; None if no checkpoint is intact.

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
    """The newest checkpoint that `read` succeeds on; see `newest_verified`."""
    reasons: dict[Checkpoint, Exception] = {}
    unfinished: set[Checkpoint] = set()
    for _ in range(LISTINGS):
        try:
            for entry in checkpoints.entries(run):
                if entry.checkpoint in reasons:
                    continue
                if not entry.committed:
                    # It may be finished by the next listing, when the others are gone.
                    if entry.checkpoint not in unfinished:
                        unfinished.add(entry.checkpoint)
                        skipped(entry.checkpoint, Unfinished("unfinished"))
                    continue
                try:
                    content, metadata = read(entry.checkpoint)
                except Damaged as error:
                    reasons[entry.checkpoint] = error
                    skipped(entry.checkpoint, error)
                    continue
                except Exception as error:
                    if not fall_back or not of_the_store(error):
                        raise
                    reasons[entry.checkpoint] = error
                    skipped(entry.checkpoint, error)
                    continue
                return entry.checkpoint, content, metadata
        except Gone:
            continue
        break
    unreadable = [error for error in reasons.values() if not isinstance(error, Damaged)]
    if unreadable:
        reason = f"{type(unreadable[0]).__name__}: {unreadable[0]}"
        raise Unreadable(
            f"none of {len(unreadable)} checkpoints of {run.uri} can be read ({reason}). They were "
            "left as they are; restore the access to them and run the same command again."
        ) from unreadable[0]
    return None


def _load_twice(checkpoint: Checkpoint, template: Any) -> tuple[Any, dict[str, Any]]:
    """Load a checkpoint; if it looks damaged, once more: bytes may be lost on the way here."""
    try:
        return checkpoints.load(checkpoint, template)
    except Damaged as error:
        log.warning("checkpoint %s %s; it is read once more", checkpoint.uri, error)
    return checkpoints.load(checkpoint, template)
