"""Preparation on a thread: loads the data, builds the model and compiles the step."""

import logging
from concurrent.futures import ThreadPoolExecutor

from ardm.data.batches import Batches
from ardm.data.dataset import Dataset
from ardm.data.dataset import load as load_data
from ardm.errors import DataUnreachable
from ardm.job.spec import JobSpec
from ardm.model.build import Model, build
from ardm.runner.context import Context
from ardm.store.retry import Deadline, retry
from ardm.store.run_directory import Run, shared_cache
from ardm.training import loop
from ardm.training.devices import keep_freed_memory
from ardm.training.group import Group
from ardm.training.loop import Work

log = logging.getLogger("ardm.data")
log.setLevel(logging.INFO)  # the data are shown even where only warnings are


def load(run: Run, spec: JobSpec, timeout_s: float) -> tuple[Dataset, Model]:
    """Read the data of a run, and build its model.

    Args:
        run: the run.
        spec: the job to train.
        timeout_s: how long to retry if the store or disk of the data does not answer, in seconds.
    """
    cache = shared_cache(run.store, "data")
    data = retry(lambda: load_data(spec.data, cache), Deadline(timeout_s), _retryable)
    return data, build(spec.model, data.shape, data.classes)


def _retryable(error: BaseException) -> bool:
    unreachable = isinstance(error, DataUnreachable)
    if unreachable:
        log.warning("the data cannot be read now, and are tried again (%s)", error)
    return unreachable


def work(spec: JobSpec, data: Dataset, model: Model, group: Group) -> Work:
    """Assemble what the training loop needs."""
    batches = Batches(
        data.train,
        spec.training.batch_size,
        spec.seed,
        spec.data.augment,
        binarized=data.dynamic,
    )
    return Work(model, spec.training, spec.seed, batches, group)


class Preparation:
    """Loads the data and then compiles the step, on a thread that starts at once.

    Meanwhile a checkpoint is found, read and verified, which leaves most cores idle.
    """

    def __init__(self, run: Run, spec: JobSpec, group: Group, timeout_s: float) -> None:
        self._run, self._spec, self._group = run, spec, group
        threads = ThreadPoolExecutor(1, thread_name_prefix="ardm-preparation")
        self._loaded = threads.submit(load, run, spec, timeout_s)
        self._ready = threads.submit(self._make_ready)
        threads.shutdown(wait=False)

    def serves(self, run: Run, spec: JobSpec) -> bool:
        """Whether this preparation is for the given run and spec, and has not failed so far."""
        failed = self._ready.done() and self._ready.exception()
        return run.uri == self._run.uri and spec == self._spec and not failed

    def loaded(self) -> tuple[Dataset, Model]:
        """Wait for the data and the model.

        Raises:
            InputError: the data cannot be used.
            DataUnreachable: they could not be read within `timeout_s`.
        """
        return self._loaded.result()

    def log_data(self) -> None:
        """Log which data the run trains on, and which files were left out."""
        data, _ = self.loaded()
        log.info("%s", data.describe())
        for warning in data.report.warnings():
            log.warning("data set %s: %s", data.name, warning)

    def ready(self) -> Work:
        """Wait until the step is compiled.

        Device memory used for compiling is free again then, so put the state there only afterwards.
        """
        return self._ready.result()

    def _make_ready(self) -> Work:
        ready = work(self._spec, *self.loaded(), self._group)
        loop.warm_up(ready)
        keep_freed_memory()
        return ready


def begin(run: Run, spec: JobSpec, context: Context) -> Preparation:
    """Begin a preparation, or take over the one that this process began before the attempt."""
    group, early = context.group, context.head_start.take()
    if early is not None and group.size == 1 and early.serves(run, spec):
        return early
    return Preparation(run, spec, group, context.timings.data)
