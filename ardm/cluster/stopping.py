"""Having a run save and end, and its submission with it."""

from dataclasses import dataclass

from ardm.cluster import submission
from ardm.runner import control
from ardm.runner.context import Ended
from ardm.store import registry
from ardm.store.run_directory import Run


@dataclass(frozen=True)
class Stopped:
    """What became of a request to stop.

    Attributes:
        attempt: that was asked; None if none was running.
        ended: how it ended; None if it did not end in time.
        submission: that was stopped.
    """

    attempt: int | None
    ended: Ended | None
    submission: str | None


def stop(run: Run, patience: float) -> Stopped:
    """Ask the newest attempt to save and end, and end its submission.

    Args:
        run: the run.
        patience: seconds to wait for the last save.

    Raises:
        NotFound: no such run.
    """
    registry.read_spec(run)
    made = submission.newest(run)
    runs = made is not None and submission.status(made) in ("PENDING", "RUNNING")
    before = made.after or 0 if made and runs else 0
    # An attempt from before the submission has no part in it, even if it never said that it ended.
    number = control.request_stop(run) if max(run.attempts(), default=0) > before else None
    ended = control.wait_for_end(run, number, patience) if number else None
    if made and runs:
        submission.stop(made)
        if number is None and max(run.attempts(), default=0) > before:
            # It began meanwhile; the driver asks it to stop.
            number = max(run.attempts(), default=0)
            ended = control.wait_for_end(run, number, patience)
    return Stopped(number, ended, made.submission_id if made and runs else None)
