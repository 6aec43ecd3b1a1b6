"""Every error that a user can meet, in one tree; each carries the exit code of the command line.

ArdmError (1)
├── InputError (2)            what was given cannot be used; nothing was started or lost
│   ├── SpecError             a job file, with all its faults at once
│   ├── SpecConflict          the run exists with another spec
│   ├── StoreUnusable         the store cannot be reached or written
│   └── DataUnreachable       what the data are read from does not answer now
├── JobFailed (3)             the job ended without reaching its last step
│   ├── SaveFailed            the final checkpoint could not be written
│   ├── Diverged              a loss, gradient or new state is not finite
│   └── Superseded            a newer attempt holds the run
├── NotFound (4)              no such run, checkpoint or store
│   ├── Unreadable            there are checkpoints, and none can be read
│   └── StoreUnreachable      the store that a command reads does not answer
└── Interrupted (75)          stopped from outside; state saved, run again to go on
"""

from collections.abc import Sequence


class ArdmError(Exception):
    """Base of all errors with a message for the user.

    The message says what was expected, what was received, and what to do.
    """

    exit_code = 1


class InputError(ArdmError):
    """What was given cannot be used."""

    exit_code = 2


class SpecError(InputError):
    """A job file with faults; `faults` lists every one of them."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.source = source
        self.faults = tuple(faults)
        noun = "fault" if len(self.faults) == 1 else "faults"
        lines = "\n".join(f"  {fault}" for fault in self.faults)
        super().__init__(f"{source}: {len(self.faults)} {noun}\n{lines}")


class SpecConflict(InputError):
    """The run exists and was started with another spec."""


class StoreUnusable(InputError):
    """The store cannot be reached or written."""


class DataUnreachable(InputError):
    """What the data are read from does not answer now; it may do so later."""


class JobFailed(ArdmError):
    """The job ended without reaching its last step."""

    exit_code = 3


class SaveFailed(JobFailed):
    """The final checkpoint could not be written; what was trained since the last one is lost."""


class Diverged(JobFailed):
    """A loss, gradient or new state is not finite; the same job would come to it again."""


class Superseded(JobFailed):
    """A newer attempt holds the run; this one must not write any more."""


class NotFound(ArdmError):
    """No such run, checkpoint or store."""

    exit_code = 4


class Unreadable(NotFound):
    """There are checkpoints, and the store gives the bytes of none; they may be sound."""


class StoreUnreachable(NotFound):
    """The store that a command reads does not answer, or may not be read."""


class Interrupted(ArdmError):
    """Stopped from outside; the state is saved and the same command goes on from there."""

    exit_code = 75
