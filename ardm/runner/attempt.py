"""One attempt from claim to end; `ardm train` and every Ray worker run this function."""

from collections.abc import Callable
from typing import Protocol

from ardm.job.spec import JobSpec
from ardm.runner import prepare
from ardm.runner.compilation import share_cache
from ardm.runner.context import Context, Ended, HeadStart, Notice, StepRecord, Timings
from ardm.runner.coordinator import Coordinator
from ardm.runner.follower import Follower
from ardm.runner.prepare import Preparation
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.training.devices import cores_here, use_cores
from ardm.training.group import Alone
from ardm.training.loop import Done, train
from ardm.training.state import TrainState, place


class Part(Protocol):
    """What a process does at each stage of an attempt: `Coordinator` or `Follower`."""

    def begin(self) -> None: ...
    def restore(self, preparation: Preparation) -> TrainState: ...
    def flag(self) -> int: ...
    def after_step(self, done: Done) -> None: ...
    def finish(self) -> Ended: ...
    def ended_by(self, error: Exception) -> Ended: ...
    def close(self, ended: Ended) -> None: ...


def run_attempt(run: Run, spec: JobSpec, context: Context) -> Ended:
    """Train a run until it is done or something ends the attempt.

    Every process of the group calls this. Process 0 claims the attempt, chooses the checkpoint,
    saves, evaluates and records; the others restore the same checkpoint and train. The state is the
    same on all of them, so no other process waits for a save.

    Args:
        run: the run, whose directory holds `spec`.
        spec: the job to train.
        context: the group of workers, and what may end the attempt early.

    Returns:
        How the attempt ended. Process 0 has recorded it in the store.
    """
    share_cache(run.store)
    part = _part(run, spec, context)
    try:
        part.begin()
        preparation = prepare.begin(run, spec, context)
        state = part.restore(preparation)
        for done in train(preparation.ready(), place(state), part.flag):
            part.after_step(done)
            if done.flag:
                break
        ended = part.finish()
    except Exception as error:  # every end of an attempt is an outcome
        ended = part.ended_by(error)
    part.close(ended)
    return ended


def _part(run: Run, spec: JobSpec, context: Context) -> Part:
    if context.group.rank == 0:
        return Coordinator(run, spec, context)
    return Follower(run, spec, context)


def attempt_here(
    run: Run,
    spec: JobSpec,
    notice: Notice,
    on_step: Callable[[StepRecord], None] | None = None,
) -> Ended:
    """Train a run in this process alone, with all cores that it may use.

    Args:
        run: the run, whose directory holds `spec`.
        spec: the job to train.
        notice: set from outside when the attempt is to save and end.
        on_step: called after every step.
    """
    use_cores(cores_here())
    return run_attempt(run, spec, Context(Alone(), notice, {"by": "ardm train"}, on_step=on_step))


def get_ready(run: Run, head_start: HeadStart) -> None:
    """Begin to load the data and compile before there is an attempt; returns at once.

    This is for a spare process, which may become the run's only worker and is idle until then.
    """
    share_cache(run.store)
    spec = registry.read_spec(run)
    head_start.begin(lambda: Preparation(run, spec, Alone(), Timings().data))
