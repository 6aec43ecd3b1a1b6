"""The runs of a store: opening a new one with its frozen spec, finding one again."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from ardm.errors import NotFound, SpecConflict
from ardm.runs.layout import Run
from ardm.runs.spec import NAME, JobSpec, differences, parse
from ardm.runs.store import Store

_HEADER = re.compile(r"# run \S+, created (\S+)\n")


@dataclass(frozen=True)
class Entry:
    """A run as a list shows it."""

    run: Run
    job: str
    created: str
    """UTC, ISO 8601."""


def new_name(job: str, now: datetime) -> str:
    """A name for a new run of a job."""
    return f"{job}-{now:%Y%m%d-%H%M%S}"


def open_run(run: Run, spec: JobSpec, now: datetime, *, override: bool = False) -> bool:
    """Freeze the spec of a run, or check that it is the one the run was started with.

    Args:
        run: the run, new or not.
        spec: what is to be trained.
        now: the time of day, written into a new run.
        override: go on with another spec; the replaced one is kept beside it.

    Returns:
        Whether the run is new.

    Raises:
        SpecConflict: the run has another spec, not counting `scaling`; the message lists the
            differences.
    """
    text = f"# run {run.name}, created {now.astimezone(UTC).isoformat(timespec='seconds')}\n"
    try:
        run.store.create(run.job_file, (text + spec.to_yaml()).encode())
        return True
    except FileExistsError:
        pass
    frozen = read_spec(run)
    changed = differences(frozen, spec)
    if not changed:
        return False
    # How many workers share the work is no part of what is trained.
    conflicts = [line for line in changed if not line.startswith("scaling.")]
    if conflicts and not override:
        listed = "\n".join(f"  {line}" for line in conflicts)
        raise SpecConflict(
            f"run {run.name} was started with another spec (old -> new):\n{listed}\n"
            "Start afresh under another name (--run), or go on with the new spec (--override)."
        )
    old = run.store.read(run.job_file) or b""
    replaced = [n for n in run.store.names(run.name) if n.startswith("job-")]
    run.store.create(run.replaced_job_file(len(replaced) + 1), old)
    created = _HEADER.match(old.decode())
    header = created.group() if created else text
    run.store.write(run.job_file, (header + spec.to_yaml()).encode())
    return False


def read_spec(run: Run) -> JobSpec:
    """The frozen spec of a run.

    Raises:
        NotFound: no such run; the message names those that exist.
    """
    data = run.store.read(run.job_file)
    if data is None:
        listed = ", ".join(entry.run.name for entry in entries(run.store)[-10:]) or "none"
        raise NotFound(f"no run {run.name!r} in {run.store.uri}. Known runs: {listed}")
    return parse(data.decode(), run.store.url(run.job_file))


def entries(store: Store) -> list[Entry]:
    """Every run of the store, oldest first."""
    names = [name for name in store.names() if re.match(NAME, name)]
    found = []
    for name in names:
        data = store.read(f"{name}/job.yaml")
        if data is None:
            continue
        created = _HEADER.match(data.decode())
        job = re.search(r"^job: (\S+)$", data.decode(), re.MULTILINE)
        if created and job:
            found.append(Entry(Run(store, name), job.group(1), created.group(1)))
    return sorted(found, key=lambda entry: (entry.created, entry.run.name))


def newest(store: Store, job: str | None = None) -> Run:
    """The newest run of a job, or of all.

    Raises:
        NotFound: there is none.
    """
    known = entries(store)
    found = [entry for entry in known if job in (None, entry.job)]
    if not found:
        listed = ", ".join(entry.run.name for entry in known[-10:]) or "none"
        what = f"run of job {job!r}" if job else "run"
        raise NotFound(f"no {what} in {store.uri}. Known runs: {listed}")
    return found[-1].run
