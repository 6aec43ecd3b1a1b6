"""Opens the run that a job trains: checks the store, then finds or creates the run."""

import logging
import os
from collections.abc import Callable
from datetime import datetime

from ardm.events.events import Outcome
from ardm.job.spec import JobSpec
from ardm.runner import agreement, control
from ardm.store import registry
from ardm.store.run_directory import Run
from ardm.store.store import Store
from ardm.trackers import choose

log = logging.getLogger(__name__)

Report = Callable[[str], None]
"""Called with a sentence for the user."""


def store_address(given: str | None) -> str:
    """The address of the store: the given one, or ARDM_STORE, or `./runs`."""
    return given if given is not None else os.environ.get("ARDM_STORE") or "./runs"


def usable_store(address: str, report: Report = log.info) -> Store:
    """A store that was checked; `report` is called if it cannot give all guarantees.

    Raises:
        StoreUnusable: the store cannot be read and written.
    """
    store = Store(address)
    store.check()
    if caveat := store.abilities.caveat():
        report(f"store {store.uri}: {caveat}")
    return store


def open_or_create(
    job: JobSpec, store: Store, name: str | None, *, override: bool, report: Report = log.info
) -> Run:
    """The run of the given name, or a new one.

    Raises:
        SpecConflict: the run has another spec, and `override` is false.
        InputError: a tracker that the job names is not installed.
    """
    choose.require(job.trackers)
    now = datetime.now().astimezone()
    if name is None:
        return registry.open_new_run(store, job, now)
    opened = Run(store, name)
    if override:
        agreement.require_steps_left(opened, job)
    if not registry.open_run(opened, job, now, override=override):
        report(f"run {opened.name} exists; it goes on")
    return opened


def is_complete(run: Run, spec: JobSpec) -> bool:
    """Whether the last attempt has completed all steps of a job."""
    number = run.newest_attempt()
    ended = control.ended(run, number) if number else None
    if ended is None or ended.outcome != Outcome.COMPLETED:
        return False
    return ended.step >= spec.training.steps
