"""The trackers that a job names, and whether they are installed."""

import importlib.util
from collections.abc import Callable, Sequence

from ardm.errors import InputError
from ardm.job.spec import JobSpec
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.trackers.tracker import About, Tracker

FOLLOWERS = ("wandb", "mlflow")
"""The trackers of other projects; their names are those of their packages."""


def require(names: Sequence[str]) -> None:
    """Refuse trackers whose libraries are not installed.

    Raises:
        InputError: a library is missing; the message says how to install it.
    """
    missing = [n for n in names if n in FOLLOWERS and importlib.util.find_spec(n) is None]
    if missing:
        raise InputError(
            f"trackers: {', '.join(missing)} is not installed; "
            f"pip install 'ardm[{','.join(missing)}]', or leave it out"
        )


def about(run: Run, spec: JobSpec) -> About:
    """What trackers know of a run, without secrets."""
    shown = spec.without_secrets()
    return About(run.name, registry.identity(run), shown.settings(), shown.to_yaml())


def opener(name: str, known: About) -> Callable[[], Tracker]:
    """Returns what opens a tracker of another project, which takes seconds.

    Args:
        name: one of `FOLLOWERS`.
        known: what the tracker shows of the run besides its records.
    """

    def open_tracker() -> Tracker:
        if name == "wandb":
            from ardm.trackers.wandb_run import WandbRun

            return WandbRun(known)
        from ardm.trackers.mlflow_run import MlflowRun

        return MlflowRun(known)

    return open_tracker
