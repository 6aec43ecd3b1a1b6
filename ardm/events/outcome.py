"""How attempts end, as a type, so that a preemption is never taken for a failure."""

from enum import StrEnum


class Outcome(StrEnum):
    """How an attempt ended; the values are the words of the event log.

    >>> Outcome("preempted").ends_the_job
    False
    >>> Outcome("of a later version")
    <Outcome.FAILED: 'failed'>
    """

    COMPLETED = "completed"
    """The last step is done and saved."""
    STOPPED = "stopped"
    """By `ardm stop`; saved."""
    PREEMPTED = "preempted"
    """By a notice or a signal; saved."""
    RESIZED = "resized"
    """The group goes on with another number of workers; saved."""
    SUPERSEDED = "superseded"
    """A newer attempt holds the run."""
    WORKER_LOST = "worker_lost"
    """A worker vanished, or all of them did."""
    STORAGE_FAULT = "storage_fault"
    """The store, or the place of the data, does not answer; elsewhere it may."""
    SAVE_FAILED = "save_failed"
    """There are no more steps to do, or none are wanted, and the state could not be saved."""
    DIVERGED = "diverged"
    """A loss, gradient or new state was not finite; nothing of it is saved."""
    OUT_OF_MEMORY = "out_of_memory"
    """The device or the machine has too little memory."""
    BAD_INPUT = "bad_input"
    """The data cannot be used."""
    FAILED = "failed"
    """A programming error."""

    @classmethod
    def _missing_(cls, value: object) -> "Outcome":
        """An outcome of another version, or a torn one."""
        return cls.FAILED

    @property
    def ends_the_job(self) -> bool:
        """Whether to start again would change nothing, or is not wanted."""
        return self in {
            Outcome.COMPLETED,
            Outcome.STOPPED,
            Outcome.FAILED,
            Outcome.OUT_OF_MEMORY,
            Outcome.BAD_INPUT,
            Outcome.SAVE_FAILED,
            Outcome.DIVERGED,
        }

    @property
    def is_orderly(self) -> bool:
        """Whether the attempt ended as it was meant to, which is no sign of a crash loop."""
        return self in {
            Outcome.COMPLETED,
            Outcome.STOPPED,
            Outcome.PREEMPTED,
            Outcome.RESIZED,
            Outcome.SUPERSEDED,
        }

    @property
    def was_interrupted(self) -> bool:
        """Whether a machine or a process was taken away."""
        return self in {Outcome.PREEMPTED, Outcome.WORKER_LOST}

    @property
    def state(self) -> str:
        """The state of a run that nobody trains after such an end, as `ardm status` names it."""
        if self in {Outcome.COMPLETED, Outcome.STOPPED, Outcome.SUPERSEDED}:
            return self.value
        resumable = {Outcome.PREEMPTED, Outcome.RESIZED, Outcome.WORKER_LOST}
        return "stopped" if self in resumable else "failed"
