"""What a run's spec asks for, made ready on a thread: the data, the model and the work to do."""

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


def load(run: Run, spec: JobSpec, patience: float) -> tuple[Dataset, Model]:
    """Read the data of a run, and build its model.

    Args:
        run: the run.
        spec: what is trained.
        patience: seconds that data are waited for whose store or disk does not answer.
    """
    cache = shared_cache(run.store, "data")
    data = retry(lambda: load_data(spec.data, cache), Deadline(patience), _may_pass)
    return data, build(spec.model, data.shape, data.classes)


def _may_pass(error: Exception) -> bool:
    passes = isinstance(error, DataUnreachable)
    if passes:
        log.warning("the data cannot be read now, and are tried again (%s)", error)
    return passes


def work(spec: JobSpec, data: Dataset, model: Model, group: Group) -> Work:
    """Put together what the training loop needs."""
    batches = Batches(
        data.train,
        spec.training.batch_size,
        spec.seed,
        spec.data.augment,
        binarized=data.dynamic,
    )
    return Work(model, spec.training, spec.seed, batches, group)


class Preparation:
    """Begins at once to load the data and then to compile a step.

    Meanwhile a checkpoint is found, read and verified, which leaves time on most cores.
    """

    def __init__(self, run: Run, spec: JobSpec, group: Group, patience: float) -> None:
        self._run, self._spec, self._group = run, spec, group
        threads = ThreadPoolExecutor(1, thread_name_prefix="ardm-preparation")
        self._loaded = threads.submit(load, run, spec, patience)
        self._ready = threads.submit(self._make_ready)
        threads.shutdown(wait=False)

    def serves(self, run: Run, spec: JobSpec) -> bool:
        """Whether this is what a run asks for, and nothing has gone wrong so far."""
        failed = self._ready.done() and self._ready.exception()
        return run.uri == self._run.uri and spec == self._spec and not failed

    def loaded(self) -> tuple[Dataset, Model]:
        """Wait for the data and the model.

        Raises:
            InputError: the data cannot be used; DataUnreachable if they were waited for in vain.
        """
        return self._loaded.result()

    def ready(self) -> Work:
        """Wait until a step can be taken.

        What getting ready took on the device is free again then: the time to put a state there.
        """
        return self._ready.result()

    def _make_ready(self) -> Work:
        ready = work(self._spec, *self.loaded(), self._group)
        loop.warm_up(ready)
        keep_freed_memory()
        return ready


def begin(run: Run, spec: JobSpec, context: Context) -> Preparation:
    """Begin to prepare, or go on with what this process has prepared before the attempt."""
    group, begun = context.group, context.head_start.take()
    if begun is not None and group.size == 1 and begun.serves(run, spec):
        return begun
    return Preparation(run, spec, group, context.timings.data)
