"""The job server that a job is submitted to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ardm.cluster import local, remote
from ardm.cluster.submission import JobServer, named


@contextmanager
def job_server(
    address: str | None, cluster: Path | None, report: Callable[[str], None]
) -> Iterator[JobServer]:
    """The job server that was named, or that of the local Ray, which is started if none runs."""
    if cluster:
        with remote.tunnel(cluster) as target:
            yield JobServer(target, here=False)
        return
    if found := named(address):
        yield found
        return
    running = local.find()
    if running is None:
        report("starting a local Ray (`make down` stops it)")
        running = local.start()
    yield JobServer(running, here=True)
