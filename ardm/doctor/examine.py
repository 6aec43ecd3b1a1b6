"""All checks of `ardm doctor`, in the order of the report."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ardm.doctor import cluster_file, machine, ray_jobs, stores
from ardm.doctor.check import Check, Checks, guarded


def examine(store: str, address: str | None = None, cluster: Path | None = None) -> list[Check]:
    """Check everything that a run needs, at the same time where possible.

    Args:
        store: address of the store.
        address: address of a Ray job server, as in RAY_ADDRESS; None for a local Ray.
        cluster: a file of Ray's cluster launcher; None for `cluster.yaml`, if there is one.
    """
    groups: dict[str, Callable[[], Checks]] = {
        "python": machine.python,
        "jax": machine.jax,
        "cores": machine.cores,
        "memory": machine.memory,
        "disk": machine.disks,
        "/dev/shm": machine.shared_memory,
        "ray": partial(ray_jobs.ray, address),
        "ports": ray_jobs.listening,
        "proxies": ray_jobs.proxies,
        "cluster file": partial(cluster_file.cluster_file, cluster),
        "store": partial(stores.store, store),
    }
    with ThreadPoolExecutor(len(groups), thread_name_prefix="ardm-doctor") as threads:
        found = threads.map(lambda group: guarded(*group), groups.items())
        return [check.without_secrets() for checks in found for check in checks]
