"""The trackers that a job names, and whether they are installed."""

import importlib.util
from collections.abc import Callable, Sequence

from ardm.errors import InputError
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


def opener(name: str, about: About) -> Callable[[], Tracker]:
    """Returns what opens a tracker of another project, which takes seconds.

    Args:
        name: one of `FOLLOWERS`.
        about: the run.
    """

    def open_tracker() -> Tracker:
        if name == "wandb":
            from ardm.trackers.wandb_run import WandbRun

            return WandbRun(about)
        from ardm.trackers.mlflow_run import MlflowRun

        return MlflowRun(about)

    return open_tracker
