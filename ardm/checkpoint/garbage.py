"""Garbage collection of the files that killed processes leave behind, except checkpoints."""

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import psutil

from ardm.store.home import home, temporary_places
from ardm.store.retry import in_background
from ardm.store.run_directory import Run
from ardm.store.store import Store

log = logging.getLogger(__name__)

HOUR, DAY = 3600.0, 86400.0

KEPT_RESULTS = 30 * DAY
"""Seconds for which Ray Train's own files on a job are kept; ardm never reads them."""

_UNRENAMED = re.compile(r".+\.[0-9a-f]{32}(\.part)?")
"""The name of a file until it is complete, when it is renamed."""

_OF_PROCESS = re.compile(r"ardm-(\d+)-.*")

_NOT_OURS = ("checkpoints", "damaged")
"""Folders whose files Orbax names; `ardm.checkpoint.preservation` cleans them up."""


def sweep_beside(run: Run) -> None:
    """Clean up this machine and the store on a thread; a failure is left to the next attempt."""

    def sweep() -> None:
        for work in (sweep_machine, partial(sweep_store, run.store, run.name)):
            try:
                work()
            except Exception as error:  # the next attempt sweeps again
                log.debug("what killed processes left behind could not be swept (%s)", error)

    in_background(sweep, "ardm-sweep")


def sweep_machine(
    temporary: Iterable[Path] | None = None,
    clock: Callable[[], float] = time.time,
    alive: Callable[[int], bool] = psutil.pid_exists,
) -> None:
    """Remove temporary folders of dead processes, and old files of Ray Train.

    Args:
        temporary: the directories that hold temporary folders; by default those of
            `ardm.store.home`.
        clock: returns seconds since 1970.
        alive: returns whether a process with this id exists.
    """
    parents = temporary_places() if temporary is None else temporary
    for folder in (folder for parent in parents for folder in parent.glob("ardm-*")):
        match = _OF_PROCESS.fullmatch(folder.name)
        # The process may live in another container, invisible from here; so the folder must also
        # have been untouched for an hour.
        if match and not alive(int(match[1])) and clock() - _touched(folder) > HOUR:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in (home() / "ray-results").glob("*"):
        if clock() - _touched(folder) > KEPT_RESULTS:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_store(store: Store, run: str, clock: Callable[[], float] = time.time) -> None:
    """Remove old probes of the store, and half-written files of a run and of shared caches.

    Args:
        store: the store of the run.
        run: the name of the run.
        clock: returns seconds since 1970.
    """
    for name in store.names():
        if name.startswith(".probe-") and clock() - _modified(store, name) > DAY:
            store.remove_tree(name)
    if store.is_local:
        for path in _unrenamed(Path(store.root), run):
            if clock() - path.stat().st_mtime > DAY:
                path.unlink(missing_ok=True)


def _unrenamed(root: Path, run: str) -> Iterator[Path]:
    for top in (root / run, root / "_shared"):
        for folder, below, names in os.walk(top):
            below[:] = [name for name in below if name not in _NOT_OURS]
            yield from (Path(folder) / name for name in names if _UNRENAMED.fullmatch(name))


def _touched(folder: Path) -> float:
    """When any file of a folder was last written; files that vanish meanwhile do not count."""
    newest = 0.0
    for path in (folder, *folder.rglob("*")):
        try:
            newest = max(newest, path.lstat().st_mtime)
        except OSError:
            continue
    return newest


def _modified(store: Store, name: str) -> float:
    return float(store.fs.modified(store.path(name)).timestamp())
