"""Opening the run that a job is to train: in a store that works, under a name old or new."""

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

log = logging.getLogger(__name__)

Report = Callable[[str], None]
"""Called with a sentence for the user."""


def store_address(given: str | None) -> str:
    """Where runs live: the address that was given, or ARDM_STORE, or `./runs`."""
    return given if given is not None else os.environ.get("ARDM_STORE") or "./runs"


def usable_store(address: str, report: Report = log.info) -> Store:
    """A store that works, with a word on what is not guaranteed there.

    Raises:
        StoreUnusable: it cannot be read and written.
    """
    place = Store(address)
    place.check()
    if caveat := place.abilities.caveat():
        report(f"store {place.uri}: {caveat}")
    return place


def open_or_create(
    job: JobSpec, store: Store, name: str | None, *, override: bool, report: Report = log.info
) -> Run:
    """The run of that name, or a new one.

    Raises:
        SpecConflict: the run has another spec, and nobody said `override`.
    """
    now = datetime.now().astimezone()
    if name is None:
        return registry.open_new_run(store, job, now)
    opened = Run(store, name)
    if override:
        agreement.require_steps_left(opened, job)
    if not registry.open_run(opened, job, now, override=override):
        report(f"run {opened.name} exists; it goes on")
    return opened


def newest_attempt(run: Run) -> int:
    """The number of the newest attempt, 0 if there is none."""
    return max(run.attempts(), default=0)


def is_complete(run: Run, spec: JobSpec) -> bool:
    """Whether the last attempt has done all steps of a job."""
    number = newest_attempt(run)
    ended = control.ended(run, number) if number else None
    if ended is None or ended.outcome != Outcome.COMPLETED:
        return False
    return ended.step >= spec.training.steps
