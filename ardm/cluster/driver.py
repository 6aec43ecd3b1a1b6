"""The driver of a job, the entrypoint that Ray's job server starts."""

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

from ardm import secrecy
from ardm.cluster import shell_variables, workers
from ardm.errors import ArdmError, Interrupted, JobFailed, in_a_line
from ardm.events.events import Outcome
from ardm.job.spec import JobSpec
from ardm.outages import of_the_store
from ardm.runner import alerts, control
from ardm.runner.context import to_error
from ardm.store import registry
from ardm.store.retry import Deadline, retry
from ardm.store.run_directory import Run
from ardm.store.store import Store

log = logging.getLogger("ardm.driver")

SHORT_LIFE, SHORT_LIVES = 60.0, 3
"""The job fails when so many controllers in a row die within so many seconds of their start."""

STOP_PATIENCE = 20.0
"""Seconds that the driver waits for the workers' save when a signal ends it; and, after its run was
stopped, for the job server to end it."""


def main() -> None:
    """Run a job to its end, and exit with the code of its outcome."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("run")
    parser.add_argument("submission")
    args = parser.parse_args()
    # `force`, since the import of a library may have set up logging.
    logging.basicConfig(
        level=logging.INFO, handlers=[secrecy.log_to(logging.StreamHandler())], force=True
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
    save_at_signals(run)
    try:
        fit_again(lambda: workers.fit(run, spec, submission, gpu=gpu))
        number = max(control.attempts_of(run, submission), default=0)
        ended = control.ended(run, number)
        if ended is None:
            raise JobFailed(f"attempt {number} of {run.name} ended without a word")
    except Exception as failure:
        # An attempt sends the alert about its own end; here none could.
        alerts.send(run, spec, "failed", in_a_line(failure))
        raise
    if ended.outcome == Outcome.STOPPED:
        # Ray reports a job as stopped only if its job server ends the driver.
        time.sleep(STOP_PATIENCE)
    if error := to_error(ended):
        raise error
    print(f"ardm: {run.name} completed {ended.step} steps")


def fit_again(fit: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
    """Train, and start a new controller of Ray Train whenever one dies, as Ray does not.

    Args:
        fit: trains with one controller, and returns when an attempt has ended the job.
        clock: returns monotonic seconds.

    Raises:
        JobFailed: several controllers in a row died soon after their start.
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


def save_at_signals(run: Run) -> None:
    """On a signal, let the workers save before this process ends; further signals do not hasten it.

    `ray job stop` sends SIGTERM, and the cluster kills the workers of a driver that has ended. The
    work is done on a thread: a second signal would interrupt a handler that waits for the store.
    """
    signals: SimpleQueue[int] = SimpleQueue()

    def receive(signum: int, frame: FrameType | None) -> None:
        signals.put(signum)

    def end() -> None:
        name = signal.Signals(signals.get()).name
        log.info("%s: asking the run to save and end", name)
        _stop_run(run, Deadline(STOP_PATIENCE))
        shell_variables.forget()
        os._exit(Interrupted.exit_code)

    threading.Thread(target=end, name="ardm-end", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, receive)


def _stop_run(run: Run, deadline: Deadline) -> None:
    """Have the newest attempt save and end; errors of the store are retried until the deadline."""
    try:
        number = retry(lambda: control.request_stop(run), deadline, of_the_store)
        if number is not None:
            end = partial(control.wait_for_end, run, number, deadline.left())
            retry(end, deadline, of_the_store)
    except Exception as error:  # whatever it is, the process has to end
        log.warning("the run could not be asked to save and end (%s)", error)


if __name__ == "__main__":
    main()
