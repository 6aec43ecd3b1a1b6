"""Train autoregressive diffusion models on machines that may vanish at any moment.

>>> import ardm
>>> job = ardm.load_job("jobs/smoke.yaml")
>>> run = ardm.train(job, store="runs", run="hello")
>>> model = ardm.load("hello", store="runs")
>>> model.sample(16, budget=50).save("digits.png")

`ardm.submit` trains on Ray instead of in this process; `ardm.open_run` opens a run of any store.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ardm.api import (
        StepRecord,
        Submitted,
        load,
        load_job,
        parse_job,
        propose_job,
        submit,
        train,
        train_steps,
    )
    from ardm.errors import ArdmError
    from ardm.generated import Samples
    from ardm.pretrained import Pretrained
    from ardm.runs import Run, open_run

__version__ = version("ardm")

__all__ = [
    "ArdmError",
    "Pretrained",
    "Run",
    "Samples",
    "StepRecord",
    "Submitted",
    "__version__",
    "load",
    "load_job",
    "open_run",
    "parse_job",
    "propose_job",
    "submit",
    "train",
    "train_steps",
]

_HOMES = {
    "ArdmError": "ardm.errors",
    "Pretrained": "ardm.pretrained",
    "Run": "ardm.runs",
    "Samples": "ardm.generated",
    "open_run": "ardm.runs",
}
"""Name -> the module that defines it, unless that is `ardm.api`."""


def __getattr__(name: str) -> Any:
    """Import a name on first use, since JAX and Ray take seconds to import."""
    if name not in __all__:
        raise AttributeError(f"module 'ardm' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "ardm.api")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
