"""The job's driver, started by Ray's job server: `python -m ardm.cluster.driver STORE RUN`."""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from types import FrameType

import ray
from ray.exceptions import RayActorError

from ardm.cluster import shell_variables, workers
from ardm.errors import ArdmError, Interrupted, JobFailed
from ardm.events.events import Outcome
from ardm.job.spec import JobSpec
from ardm.outages import of_the_store
from ardm.runner import control
from ardm.runner.context import to_error
from ardm.store import registry
from ardm.store.retry import Deadline, retry
from ardm.store.run_directory import Run
from ardm.store.store import Store

log = logging.getLogger("ardm.driver")

SHORT_LIFE, SHORT_LIVES = 60.0, 3
"""Seconds within which a controller that dies has done nothing, and how many in a row may."""

STOP_PATIENCE = 20.0
"""Seconds that a driver waits to be stopped after its run has been stopped."""


def main() -> None:
    """Run a job to its end and exit with the code of that end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("run")
    parser.add_argument("submission")
    args = parser.parse_args()
    # A library may have set up logging by being imported.
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    shell_variables.hold()
    run = Run(Store(args.store), args.run)
    try:
        _drive(run, args.submission)
    except ArdmError as error:
        print(f"ardm: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    finally:
        shell_variables.forget()


def _drive(run: Run, submission: str) -> None:
    spec = registry.read_spec(run)
    ray.init(logging_level=logging.WARNING)
    gpu = _use_gpu(spec)
    _save_at_signals(run)
    _fit(lambda: workers.fit(run, spec, submission, gpu=gpu))
    number = max(control.attempts_of(run, submission), default=0)
    ended = control.ended(run, number)
    if ended is None:
        raise JobFailed(f"attempt {number} of {run.name} ended without a word")
    if ended.outcome == Outcome.STOPPED:
        # Ray calls a job stopped only if it is its server that ends the driver.
        time.sleep(STOP_PATIENCE)
    if error := to_error(ended):
        raise error
    print(f"ardm: {run.name} completed {ended.step} steps")


def _fit(fit: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
    """Train, with another controller of Ray Train whenever one dies; nobody else starts it again.

    Args:
        fit: returns when an attempt has ended the job.
        clock: monotonic seconds.

    Raises:
        JobFailed: controllers die one after the other.
    """
    short = 0
    while True:
        begin = clock()
        try:
            return fit()
        except RayActorError as error:
            short = short + 1 if clock() - begin < SHORT_LIFE else 0
            reason = str(error).splitlines()[0]
            if short >= SHORT_LIVES:
                raise JobFailed(
                    f"{short} controllers of Ray Train died within {SHORT_LIFE:.0f} s each; the "
                    f"last one: {reason}. See `ray job logs`, then submit the run again."
                ) from error
            log.warning("Ray Train's controller died (%s); another one goes on", reason)


def _use_gpu(spec: JobSpec) -> bool:
    if spec.scaling.accelerator == "auto":
        return ray.cluster_resources().get("GPU", 0) >= spec.scaling.fewest
    return spec.scaling.accelerator == "gpu"


def _save_at_signals(run: Run) -> None:
    """Let the workers save before this process ends, however many signals ask it to end.

    `ray job stop` sends SIGTERM, and the cluster kills the workers of a driver that has ended. A
    thread does the work: a second signal would interrupt a handler that waits for the store.
    """
    signals: SimpleQueue[int] = SimpleQueue()

    def take(signum: int, frame: FrameType | None) -> None:
        signals.put(signum)

    def end() -> None:
        name = signal.Signals(signals.get()).name
        log.info("%s: asking the run to save and end", name)
        _stop_run(run, Deadline(STOP_PATIENCE))
        shell_variables.forget()
        os._exit(Interrupted.exit_code)

    threading.Thread(target=end, name="ardm-end", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, take)


def _stop_run(run: Run, deadline: Deadline) -> None:
    """Have the newest attempt save and end; a store that fails is asked again."""
    try:
        number = retry(lambda: control.request_stop(run), deadline, of_the_store)
        if number is not None:
            end = partial(control.wait_for_end, run, number, deadline.left())
            retry(end, deadline, of_the_store)
    except Exception as error:  # the process has to end all the same
        log.warning("the run could not be asked to save and end (%s)", error)


if __name__ == "__main__":
    main()
