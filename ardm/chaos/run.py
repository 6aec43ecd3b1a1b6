"""A run among faults from beginning to end: the reference, the cluster, the faults, the verdict."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ardm.analysis import goodput
from ardm.analysis.status import status
from ardm.chaos import emulator, machine, reference, storage_faults
from ardm.chaos.drama import Drama
from ardm.chaos.nodes import Nodes, end_marked, nodes, wait_until
from ardm.chaos.reference import Command
from ardm.chaos.schedule import schedule
from ardm.chaos.stage import Stage
from ardm.chaos.verdict import Facts, fastest_step, judge
from ardm.chaos.watch import Watch
from ardm.cluster import access, ports
from ardm.errors import InputError, JobFailed
from ardm.events import event_log
from ardm.job import spec
from ardm.store.run_directory import Run
from ardm.store.store import Store

BUCKET, NAME = "chaos", "chaos"

MARK = "ARDM_CHAOS"
"""A variable of every process that is started here, by which all are found and ended."""

PATIENT = "scaling.max_attempts_without_progress=1000"
"""Kills come so often here that several attempts in a row may save nothing, as in a crash loop."""

SPARE = 1
"""Nodes more than workers, so that a run moves on before a lost node is replaced."""


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        file: the job.
        overrides: as with `--set`; with `training.steps` among them, that many.
        minutes: that the run among faults is to take, about.
        seed: of the faults.
        kinds: of faults.
        every: mean seconds between two faults.
        keep: where everything is kept; None to keep nothing.
    """

    file: Path
    overrides: Sequence[str]
    minutes: float
    seed: int
    kinds: Sequence[str]
    every: float
    keep: Path | None = None


def chaos(plan: Plan, tell: Callable[[str], None]) -> dict[str, Any]:
    """Train a job among faults, beside one that nobody interrupts.

    Everything that is started is ended, also at Ctrl-C, SIGTERM and errors.

    Args:
        plan: what is asked for.
        tell: takes lines about what happens, for people.

    Returns:
        The object that `ardm chaos --json` prints; see `verdict.judge`.

    Raises:
        InputError: the job file has faults, or the GCS server is not installed.
        JobFailed: the reference or the cluster cannot be started.
    """
    job = spec.load(plan.file, plan.overrides)
    folder = Path(tempfile.mkdtemp(prefix="ardm-chaos-"))
    mark = folder.name
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(end_marked, MARK, mark)
        stack.enter_context(_sigterm_interrupts())
        address = stack.enter_context(emulator.serve(emulator.free_port()))
        emulator.make_bucket(address, BUCKET)
        here = {"JAX_PLATFORMS": "cpu"}
        stack.enter_context(_variables(here | emulator.settings(address)))
        base = dict(os.environ) | {MARK: mark}
        out = machine.left_out(plan.kinds, base, folder)
        for kind, reason in out.items():
            tell(f"left out on this machine: {kind} ({reason})")
        kinds = _possible([kind for kind in plan.kinds if kind not in out], job)
        sets, digest = _reference(plan, job, base, folder, tell)
        proxy = stack.enter_context(storage_faults.serve(address, plan.seed))
        stormy = base | emulator.settings(proxy.address)
        cluster = stack.enter_context(nodes(stormy, clocks="clock" in kinds, rooms="full" in kinds))
        size = job.scaling.most + SPARE
        _fill(cluster, size, tell)
        run = Run(Store(f"gs://{BUCKET}/runs"), NAME)
        watch = stack.enter_context(Watch(run))
        stage = Stage(run, cluster, proxy, watch, size)
        command = Command(plan.file, sets, stormy | access.settings(), folder / "submit.log")
        drama = Drama(stage, command, tell)
        faults = schedule(plan.seed, plan.minutes * 60, kinds, plan.every)
        try:
            drama.play(faults, patience=3 * plan.minutes * 60 + 600)
            proxy.heal()
            found = _verdict(stage, drama, sets, digest)
        finally:
            if plan.keep:
                _keep(plan.keep, folder, cluster, run)
        asked = {"job": job.job, "seed": plan.seed, "minutes": plan.minutes, "left_out": out}
        return asked | found


def _reference(
    plan: Plan,
    job: spec.JobSpec,
    environment: Mapping[str, str],
    folder: Path,
    tell: Callable[[str], None],
) -> tuple[list[str], str]:
    """The overrides with which the job takes its time, and the digest that it must end with."""
    store, log = str(folder / "reference"), folder / "reference.log"
    sets = [PATIENT, *plan.overrides]
    if not any(item.startswith("training.steps=") for item in sets):
        tell("measuring the time of a step")
        steps = reference.steps_for(
            Command(plan.file, sets, environment, log), store, plan.minutes * 60
        )
        sets = reference.with_steps(job, sets, steps)
    steps = spec.load(plan.file, sets).training.steps
    tell(f"training {steps} steps without interruption, for the digest to be met")
    begin = time.monotonic()
    digest = reference.train(Command(plan.file, sets, environment, log), store)
    tell(f"done in {time.monotonic() - begin:.0f} s: digest {digest[:12]}")
    return sets, digest


def _fill(cluster: Nodes, count: int, tell: Callable[[str], None]) -> None:
    tell(f"starting a Ray cluster: a head and {count} nodes")
    for _ in range(count):
        cluster.add()
    wait_until(lambda: ports.answers(cluster.jobs), 60, "Ray's job server")


def _possible(kinds: Sequence[str], job: spec.JobSpec) -> list[str]:
    """Kinds of faults that the job's promise covers: damage needs a second checkpoint."""
    if not kinds:
        raise InputError("--faults: expected kinds that this machine permits; all were left out")
    few = job.checkpoint.keep_last < 2
    found = [kind for kind in kinds if not (few and kind == "damage")]
    if not found:
        raise InputError("checkpoint.keep_last=1: expected 2 or more, to damage the newest one")
    return found


def _verdict(stage: Stage, drama: Drama, sets: Sequence[str], digest: str) -> dict[str, Any]:
    run, found = stage.run, goodput.records(stage.run)
    told = status(run, {})
    job = spec.load(drama.command.file, sets)
    ends = [record.ended or record.last_seen for record in found]
    now = max(ends, default=time.time())
    stepped = {fault.attempt for fault in drama.injected if fault.kind == "clock"}
    events = [event_log.read(run, r.attempt) for r in found if r.attempt not in stepped]
    paces = [account.step_s for account in goodput.accounts(found, now) if account.step_s]
    facts = Facts(
        attempts=found,
        faults=drama.injected,
        total_steps=job.training.steps,
        interval_s=max((r.longest_interval_s for r in found), default=0.0),
        step_s=fastest_step(events) or min(paces, default=1.0),
        digest=told["digest"],
        reference=digest,
        submissions=drama.submissions,
        went_back=stage.watch.went_back,
        now=now,
    )
    return {
        "state": told["state"],
        "steps": job.training.steps,
        "took_s": round(drama.seconds, 1),
        "requests": dict(stage.proxy.counts),
        "clients": dict(stage.proxy.clients),
    } | judge(facts)


def _keep(to: Path, folder: Path, cluster: Nodes, run: Run) -> None:
    """Copy the run, the reference and the logs of the cluster's nodes."""
    to.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        run.store.fetch_tree(run.name, to / "run")
    shutil.copytree(folder, to / "reference", dirs_exist_ok=True)
    cluster.copy_logs(to / "ray")


@contextmanager
def _variables(more: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends this as Ctrl-C does: with everything that was started."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def require_kept(found: Mapping[str, Any]) -> None:
    """End with an error if a promise was broken.

    Raises:
        JobFailed: naming every promise that was.
    """
    if broken := found["broken"]:
        lines = "\n".join(f"  {line}" for line in broken)
        noun = "promise was" if len(broken) == 1 else "promises were"
        raise JobFailed(f"{len(broken)} {noun} broken (seed {found['seed']}):\n{lines}")
