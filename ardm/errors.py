"""All errors with a message for the user, in one tree, with the exit codes of the command line.

ArdmError (1)
├── InputError (2)            the input cannot be used; nothing was started or lost
│   ├── SpecError             the job file has faults; the message lists all of them
│   ├── SpecConflict          the run exists with another spec
│   ├── StoreUnusable         the store cannot be reached or written
│   └── DataUnreachable       the source of the data does not answer at the moment
├── JobFailed (3)             the job ended without reaching its last step
│   ├── SaveFailed            the final checkpoint could not be written
│   ├── Diverged              a loss, gradient or new state is not finite
│   └── Superseded            a newer attempt holds the run
├── NotFound (4)              no such run, checkpoint or store
│   ├── Unreadable            the run has checkpoints, but none can be read
│   └── StoreUnreachable      the store that a command reads does not answer
└── Interrupted (75)          stopped from outside; state saved, the same command goes on
"""

from collections.abc import Sequence

from ardm.secrecy import without_secrets


class ArdmError(Exception):
    """Base class of all errors with a message for the user.

    The message says what was expected, what was received, and what to do. It shows no secret, even
    if what was received holds one.
    """

    exit_code = 1

    def __str__(self) -> str:
        return without_secrets(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message alone, since IPython asks for this method."""
        return [f"{type(self).__name__}: {self}"]


class InputError(ArdmError):
    """The input, such as an option, a file or an address, cannot be used."""

    exit_code = 2


class SpecError(InputError):
    """The job file has faults; `faults` lists all of them."""

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
    """The source of the data does not answer at the moment; it may do so later."""


class JobFailed(ArdmError):
    """The job ended without reaching its last step."""

    exit_code = 3


class SaveFailed(JobFailed):
    """The final checkpoint could not be written; the steps since the last one are lost."""


class Diverged(JobFailed):
    """A loss, gradient or new state is not finite; the same job would diverge again."""


class Superseded(JobFailed):
    """A newer attempt holds the run; this one must not write to it any more."""


class NotFound(ArdmError):
    """No such run, checkpoint or store."""

    exit_code = 4


class Unreadable(NotFound):
    """The run has checkpoints, but the store returns none of them; they may be intact."""


class StoreUnreachable(NotFound):
    """The store that a command reads does not answer, or denies the access."""


class Interrupted(ArdmError):
    """Stopped from outside; the state is saved, and the same command goes on from it."""

    exit_code = 75


def in_a_line(error: BaseException, longest: int = 300) -> str:
    """The class of an error and the first line of its message, for a sentence about it.

    Secrets in it are masked.
    """
    lines = without_secrets(str(error)).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {lines[0]}"[:longest] if lines else name
