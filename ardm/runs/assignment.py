"""What a run's spec asks for, loaded: the data, the model and the work to be done."""

from ardm.data.batches import Batches
from ardm.data.dataset import Dataset
from ardm.data.dataset import load as load_data
from ardm.model.build import Model, build
from ardm.runs.layout import Run, shared_cache
from ardm.runs.spec import JobSpec
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
