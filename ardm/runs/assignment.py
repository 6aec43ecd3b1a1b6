"""What a run's spec asks for, made ready on a thread: the data, the model and the work to do."""

from concurrent.futures import ThreadPoolExecutor

from ardm.data.batches import Batches
from ardm.data.dataset import Dataset
from ardm.data.dataset import load as load_data
from ardm.model.build import Model, build
from ardm.runs.layout import Run, shared_cache
from ardm.runs.spec import JobSpec
from ardm.training import loop
from ardm.training.group import Group
from ardm.training.loop import Work


def load(run: Run, spec: JobSpec) -> tuple[Dataset, Model]:
    """Read the data of a run and build its model."""
    data = load_data(spec.data, shared_cache(run.store, "data"))
    return data, build(spec.model, data.shape, data.classes)


def work(spec: JobSpec, data: Dataset, model: Model, group: Group) -> Work:
    """Put together what the training loop needs."""
    batches = Batches(data.train, spec.training.batch_size, spec.seed, spec.data.augment)
    return Work(model, spec.training, spec.seed, batches, group)


class Assignment:
    """Begins at once to load the data and then to compile a step.

    Meanwhile a checkpoint is found, read and verified, which leaves time on most cores.
    """

    def __init__(self, run: Run, spec: JobSpec, group: Group) -> None:
        self._spec, self._group = spec, group
        threads = ThreadPoolExecutor(1, thread_name_prefix="ardm-assignment")
        self._loaded = threads.submit(load, run, spec)
        self._ready = threads.submit(self._make_ready)
        threads.shutdown(wait=False)

    def loaded(self) -> tuple[Dataset, Model]:
        """Wait for the data and the model.

        Raises:
            InputError: the data cannot be used.
        """
        return self._loaded.result()

    def ready(self) -> Work:
        """Wait until a step can be taken.

        What getting ready took on the device is free again then: the time to put a state there.
        """
        return self._ready.result()

    def _make_ready(self) -> Work:
        ready = work(self._spec, *self.loaded(), self._group)
        loop.rehearse(ready)
        return ready
