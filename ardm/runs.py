"""A run in a store, for programs and notebooks: its status and events, stopping and pulling it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ardm.events import event_log
from ardm.events.events import Event
from ardm.job.spec import JobSpec
from ardm.opening import store_address
from ardm.store import registry
from ardm.store.run_directory import Run as RunDirectory
from ardm.store.store import Store

if TYPE_CHECKING:
    from ardm.cluster.submission import Stopped
    from ardm.pretrained import Pretrained


@dataclass(frozen=True)
class Run:
    """A run in a store, no matter where it is trained.

    >>> run = ardm.open_run("hello", store="runs")
    >>> run.status()["state"]
    'completed'
    >>> run.pull("pulled/hello")["step"]
    100

    Attributes:
        directory: the run directory.
    """

    directory: RunDirectory

    @property
    def name(self) -> str:
        """The name of the run in its store."""
        return self.directory.name

    @property
    def store(self) -> str:
        """The address of the store."""
        return self.directory.store.uri

    @property
    def spec(self) -> JobSpec:
        """The frozen spec of the run."""
        return registry.read_spec(self.directory)

    def status(self, *, verify: bool = True) -> dict[str, Any]:
        """The status of the run, as `ardm status --json` prints it.

        >>> run.status()["step"]
        100

        Args:
            verify: whether to read and verify the newest checkpoint.

        Raises:
            NotFound: the run does not exist.
        """
        from ardm.analysis.status import status

        registry.read_spec(self.directory)
        ray: dict[str, Any] = {}
        if self.directory.store.exists(self.directory.submission):
            from ardm.cluster import submission

            if newest := submission.newest(self.directory):
                ray = asdict(newest) | {"status": submission.status(newest)}
        return status(self.directory, ray, verify=verify)

    def report(self, on_demand_price: float | None = None) -> dict[str, Any]:
        """Goodput, interruptions, saves and cost, as `ardm report --json` prints them.

        >>> 0 < run.report()["goodput"]["fraction"] <= 1
        True

        Args:
            on_demand_price: price of a worker-hour on demand, in the currency of the job's price;
                with it the report has the cost on demand as well.

        Raises:
            NotFound: the run does not exist.
        """
        from ardm.analysis.report import report

        return report(self.directory, on_demand_price)

    def events(self, attempt: int | None = None) -> list[Event]:
        """The events of the run, in order.

        >>> from ardm.events import kinds
        >>> [event.step for event in run.events() if isinstance(event, kinds.Ended)]
        [100]

        Args:
            attempt: number of the attempt; default: all attempts.

        Returns:
            Events of the classes in `ardm.events.kinds`; each has at least `event` (the name of
            its kind), `time` (seconds since 1970) and `attempt`.
        """
        registry.read_spec(self.directory)
        numbers = self.directory.attempts() if attempt is None else [attempt]
        return [
            event.model_copy(update={"attempt": number})
            for number in numbers
            for event in event_log.read(self.directory, number)
        ]

    def stop(self, patience: float = 60.0) -> "Stopped":
        """Have the run save and end; train or submit it again to go on.

        >>> run.stop().attempt is None  # no attempt was running
        True

        Args:
            patience: seconds to wait for the last save.

        Raises:
            NotFound: the run does not exist.
        """
        from ardm.cluster.submission import stop

        return stop(self.directory, patience)

    def pull(self, to: str | Path | None = None) -> dict[str, Any]:
        """Copy the newest verified checkpoint, with everything needed to use it without the store.

        >>> run.pull("pulled/again")["step"]
        100

        Args:
            to: a new directory, or one that an earlier pull wrote; default: `pulled/<name>`.

        Returns:
            `run`, `step`, `digest`, `to`, and `skipped`: the checkpoints that were passed over.

        Raises:
            NotFound: the run does not exist, or has no checkpoint that can be used yet.
            InputError: `to` holds something else.
        """
        from ardm.checkpoint.pull import pull

        return pull(self.directory, Path(to) if to else Path("pulled") / self.name)

    def load(self) -> "Pretrained":
        """Load the model of the newest verified checkpoint: see `ardm.load`.

        >>> run.load().step
        100
        """
        from ardm.loading import load

        return load(self.name, self.directory.store)


def open_run(name: str, *, store: str | None = None) -> Run:
    """Open a run of a store.

    >>> ardm.open_run("hello", store="runs").status()["state"]
    'completed'

    Args:
        name: name of the run.
        store: address of the store, a directory or a URL such as `gs://bucket/runs`; default:
            ARDM_STORE, or `./runs`.

    Raises:
        NotFound: the run does not exist; the message names those that do.
    """
    run = Run(RunDirectory(Store(store_address(store)), name))
    registry.read_spec(run.directory)
    return run
