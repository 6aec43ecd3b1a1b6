"""The checkpoints of a run: where they lie, and the newest that can be trusted."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ardm.runs import state_files
from ardm.runs.layout import Run
from ardm.runs.state_files import Damaged

log = logging.getLogger(__name__)


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


class Unfinished(Damaged):
    """A checkpoint whose save was never finished."""


def committed(run: Run) -> list[Checkpoint]:
    """All checkpoints whose save was finished, the newest first (by step, then attempt)."""
    found = [place for place in places(run) if state_files.is_committed(place.uri)]
    return sorted(found, key=lambda place: (place.step, place.attempt), reverse=True)


def newest_verified(
    run: Run, template: Any, skipped: Callable[[Checkpoint, Damaged], None]
) -> tuple[Checkpoint, Any, dict[str, Any]] | None:
    """The newest state that can be trusted.

    Args:
        run: the run, all of whose attempts are looked at.
        template: see `state_files.load`.
        skipped: told of each newer checkpoint that was passed over, and why.

    Returns:
        The checkpoint, its state and its metadata; None where no checkpoint is sound.

    Raises:
        OSError: or another error of the file system: the store does not answer, which says nothing
            about the checkpoints.
    """
    for place in sorted(places(run), key=lambda p: (p.step, p.attempt), reverse=True):
        if not state_files.is_committed(place.uri):
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
        return state_files.load(place.uri, template)
    except Damaged as error:
        log.warning("checkpoint %s %s; it is read once more", place.uri, error)
    require_answers(place)
    try:
        return state_files.load(place.uri, template)
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
