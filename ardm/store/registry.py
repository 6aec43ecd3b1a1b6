"""The registry of a store: creates runs with their frozen specs, opens and lists them."""

import difflib
import hashlib
import itertools
import json
import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ardm.errors import InputError, NotFound, SpecConflict, SpecError
from ardm.job.spec import NAME, JobSpec, differences, parse
from ardm.store import overrides
from ardm.store.run_directory import METADATA, Run
from ardm.store.store import Store

log = logging.getLogger(__name__)

_FREE = ("scaling.", "limits.", "notify", "trackers")
"""Beginnings of the keys that do not change what is trained."""

_HEADER = re.compile(r"# run \S+, created (\S+)\n")


_LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Entry:
    """A run in a listing."""

    run: Run
    job: str
    created: str
    """Time of creation (UTC, ISO 8601)."""


def open_new_run(store: Store, spec: JobSpec, now: datetime) -> Run:
    """A new run, named after its job and the time; runs of the same second get different names."""
    stem = f"{spec.job}-{now:%Y%m%d-%H%M%S}"
    for number in itertools.count(1):
        run = Run(store, stem if number == 1 else f"{stem}-{number}")
        try:
            run.store.create(run.job_file, _job_file(run, spec, now))
        except FileExistsError:
            continue
        break
    return run


def open_run(run: Run, spec: JobSpec, now: datetime, *, override: bool = False) -> bool:
    """Freeze the spec of a run, or check that it is the one the run was started with.

    Args:
        run: the run, which need not exist yet.
        spec: the spec to train.
        now: the current time, written into the job file of a new run.
        override: whether to go on with a different spec; the replaced one is kept beside it.

    Returns:
        Whether the run is new.

    Raises:
        SpecConflict: the run has another spec; the message lists the differences. Those in
            `scaling`, `limits` and `notify` do not count.
    """
    content = _job_file(run, spec, now)
    frozen = _frozen(run)
    if frozen is None:
        try:
            run.store.create(run.job_file, content)
            return not run.attempts()
        except FileExistsError:
            frozen = _frozen(run)
    if frozen is None:
        log.warning("%s cannot be read and is written anew", run.store.url(run.job_file))
        run.store.write(run.job_file, content, lasting=True)
        return False
    changed, conflicting = differences(frozen, spec), conflicts(frozen, spec)
    if conflicting and not override:
        lines = "\n".join(f"  {line}" for line in conflicting)
        raise SpecConflict(
            f"run {run.name} was started with another spec (old -> new):\n{lines}\n"
            "Start afresh under another name (--run), or go on with the new spec (--override)."
        )
    if override:
        overrides.record(run, conflicting)
    old = run.store.read(run.job_file) or b""
    if changed:
        matches = (re.fullmatch(r"job-(\d{6})\.yaml", name) for name in run.store.names(run.name))
        numbers = [int(match.group(1)) for match in matches if match]
        run.store.create(run.replaced_job_file(max(numbers, default=0) + 1), old)
    if changed or not _is_whole(old):
        created = _HEADER.match(old.decode(errors="replace"))
        header = created.group() if created else _header(run, now)
        current = spec if changed else frozen
        run.store.write(run.job_file, (header + current.to_yaml()).encode(), lasting=True)
    return False


def _job_file(run: Run, spec: JobSpec, now: datetime) -> bytes:
    return (_header(run, now) + spec.to_yaml()).encode()


def _header(run: Run, now: datetime) -> str:
    return f"# run {run.name}, created {now.astimezone(UTC).isoformat(timespec='seconds')}\n"


def identity(run: Run) -> str:
    """A name that is the same for all attempts of the run, and for no other run of any store."""
    header = (run.store.read(run.job_file) or b"").partition(b"\n")[0]
    return f"{run.name}-{hashlib.sha256(header).hexdigest()[:12]}"


def conflicts(old: JobSpec, new: JobSpec) -> list[str]:
    """The differences that change what is trained; those in sections such as `scaling` do not."""
    return [line for line in differences(old, new) if not line.startswith(_FREE)]


def read_spec(run: Run) -> JobSpec:
    """The frozen spec of a run; if its file is lost or torn, the newest copy.

    Raises:
        NotFound: the run does not exist; the message names those that do.
        InputError: the job file cannot be read, and there is no copy.
    """
    frozen = _frozen(run)
    if frozen is not None:
        return frozen
    if run.store.exists(run.job_file):
        raise InputError(
            f"{run.store.url(run.job_file)} cannot be read, and no attempt has left a copy of it. "
            f"`ardm train` or `ardm submit` with the job file and --run {run.name} writes it anew."
        )
    names = [entry.run.name for entry in entries(run.store)]
    near = difflib.get_close_matches(run.name, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    known = ", ".join(names[-10:]) or "none"
    raise NotFound(f"no run {run.name!r} in {run.store.uri}.{hint} Known runs: {known}")


def _frozen(run: Run) -> JobSpec | None:
    """The spec of a run: from its file, or from a copy in a claim or a checkpoint."""
    data = run.store.read(run.job_file)
    if data is not None and _is_whole(data):
        return parse(data.decode(), run.store.url(run.job_file), frozen=True)
    for copy in _copies(run):
        try:
            spec = parse(json.dumps(copy), run.uri, frozen=True)
        except SpecError:
            continue
        log.warning("%s is lost or torn; a copy is used", run.store.url(run.job_file))
        return spec
    try:  # earlier versions wrote job files without a mark at the end
        return parse((data or b"").decode(), run.store.url(run.job_file), frozen=True)
    except (SpecError, UnicodeDecodeError):
        return None


def _is_whole(data: bytes) -> bool:
    """Whether a job file was written completely: a part of one may be valid YAML, too."""
    return data.endswith(b"\n...\n")


def _copies(run: Run) -> Iterator[Any]:
    """The copies of the spec in claims and checkpoints, newest first; None where one is missing."""
    for number in reversed(run.attempts()):
        yield run.read_claim(number).get("spec")
    names = run.store.files(run.checkpoints_dir)
    for name in sorted((n for n in names if n.endswith(f"/{METADATA}")), reverse=True):
        metadata = run.store.read_record(f"{run.checkpoints_dir}/{name}") or {}
        custom = metadata.get("custom_metadata")
        yield custom.get("spec") if isinstance(custom, dict) else None


def entries(store: Store) -> list[Entry]:
    """Every run of the store, oldest first; a run with torn files does not hide the others."""
    runs = []
    for name in (name for name in store.names() if re.match(NAME, name)):
        data = store.read(f"{name}/job.yaml")
        text = (data or b"").decode(errors="replace")
        created = _HEADER.match(text)
        job = re.search(r"^job: (\S+)$", text, re.MULTILINE)
        if created and job:
            runs.append(Entry(Run(store, name), job.group(1), created.group(1)))
        elif claims := Run(store, name).attempts():
            runs.append(_from_claim(Run(store, name), claims[0]))
    return sorted(runs, key=lambda entry: (entry.created, entry.run.name))


def _from_claim(run: Run, first: int) -> Entry:
    """The entry of a run whose job file is lost, from the run's first claim."""
    claim = run.read_claim(first)
    seconds, spec = claim.get("time"), claim.get("spec")
    created = ""
    if isinstance(seconds, int | float) and math.isfinite(seconds):
        created = utc(seconds).isoformat(timespec="seconds")
    job = spec.get("job") if isinstance(spec, dict) else None
    return Entry(run, str(job or "?"), created)


def utc(seconds: float) -> datetime:
    """A time in seconds since 1970; one that no calendar has becomes the nearest one."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), _LATEST), UTC)


def newest(store: Store, job: str | None = None) -> Run:
    """The newest run of a job, or of the whole store.

    Raises:
        NotFound: there is no such run.
    """
    runs = entries(store)
    of_job = [entry for entry in runs if job in (None, entry.job)]
    if not of_job:
        names = ", ".join(entry.run.name for entry in runs[-10:]) or "none"
        what = f"run of job {job!r}" if job else "run"
        raise NotFound(f"no {what} in {store.uri}. Known runs: {names}")
    return of_job[-1].run
