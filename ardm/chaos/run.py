"""The whole of `ardm chaos`: the reference run, the cluster, the faults and the verdict."""

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
from ardm.chaos.chaos_run import ChaosRun
from ardm.chaos.nodes import Nodes, end_marked, nodes, wait_until
from ardm.chaos.reference import Command
from ardm.chaos.schedule import schedule
from ardm.chaos.targets import Targets
from ardm.chaos.verdict import Facts, fastest_step, judge
from ardm.chaos.watch import Watch
from ardm.cluster import access, ports, shell_variables
from ardm.errors import InputError, JobFailed
from ardm.events import event_log
from ardm.job import spec
from ardm.store.run_directory import Run
from ardm.store.store import Store

BUCKET, NAME = "chaos", "chaos"

MARK = "ARDM_CHAOS"
"""An environment variable of every process started here; all are found and ended by it."""

NO_CRASH_LOOP_GUARD = "scaling.max_attempts_without_progress=1000"
"""An override that keeps a run from ending as a crash loop: faults come so often that several
attempts in a row may save nothing."""

SPARE = 1
"""Number of nodes beyond the number of workers, so that a run continues on one of them before a
lost node is replaced."""


@dataclass(frozen=True)
class Plan:
    """The options of a chaos run.

    Attributes:
        file: the job file.
        overrides: changes to the job file, as `section.key=value`. If none sets `training.steps`,
            the number of steps follows from `minutes`.
        minutes: approximate duration of the training with faults (minutes).
        seed: seed of the random faults and their times.
        kinds: the kinds of faults to draw from; see `schedule.KINDS`.
        every: mean time between two faults (seconds).
        keep: directory to which the run and all logs are copied; None copies nothing.
    """

    file: Path
    overrides: Sequence[str]
    minutes: float
    seed: int
    kinds: Sequence[str]
    every: float
    keep: Path | None = None


def chaos(plan: Plan, report: Callable[[str], None]) -> dict[str, Any]:
    """Train a job once without interruption and once with injected faults, and compare the two.

    All processes that are started are ended, also at Ctrl-C, SIGTERM and errors.

    Args:
        plan: the options.
        report: called with each line of progress for the user.

    Returns:
        The object that `ardm chaos --json` prints; see `verdict.judge`.

    Raises:
        InputError: the job file has errors, or the GCS server is not installed.
        JobFailed: the uninterrupted run failed, or the cluster could not be started.
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
        cpu = {"JAX_PLATFORMS": "cpu"}
        stack.enter_context(shell_variables.during(cpu | emulator.settings(address)))
        base = dict(os.environ) | {MARK: mark}
        left_out = machine.left_out(plan.kinds, base, folder)
        for kind, reason in left_out.items():
            report(f"left out on this machine: {kind} ({reason})")
        kinds = _possible([kind for kind in plan.kinds if kind not in left_out], job)
        sets, digest = _reference(plan, job, base, folder, report)
        proxy = stack.enter_context(storage_faults.serve(address, plan.seed))
        behind_proxy = base | emulator.settings(proxy.address)
        cluster = stack.enter_context(
            nodes(behind_proxy, clocks="clock" in kinds, filesystems="full" in kinds)
        )
        node_count = job.scaling.most + SPARE
        _add_nodes(cluster, node_count, report)
        run = Run(Store(f"gs://{BUCKET}/runs"), NAME)
        watch = stack.enter_context(Watch(run))
        targets = Targets(run, cluster, proxy, watch, node_count)
        command = Command(plan.file, sets, behind_proxy | access.settings(), folder / "submit.log")
        chaos_run = ChaosRun(targets, command, report)
        faults = schedule(plan.seed, plan.minutes * 60, kinds, plan.every)
        try:
            chaos_run.execute(faults, timeout_s=3 * plan.minutes * 60 + 600)
            proxy.heal()
            verdict = _verdict(targets, chaos_run, sets, digest)
        finally:
            if plan.keep:
                _keep(plan.keep, folder, cluster, run)
        options = {"job": job.job, "seed": plan.seed, "minutes": plan.minutes}
        return options | {"left_out": left_out} | verdict


def _reference(
    plan: Plan,
    job: spec.JobSpec,
    environment: Mapping[str, str],
    folder: Path,
    report: Callable[[str], None],
) -> tuple[list[str], str]:
    """Train the job without interruption.

    Returns:
        The overrides that give the job its number of steps, and the final digest.
    """
    store, log = str(folder / "reference"), folder / "reference.log"
    sets = [NO_CRASH_LOOP_GUARD, *plan.overrides]
    if not any(item.startswith("training.steps=") for item in sets):
        report("measuring the time of a step")
        steps = reference.steps_for(
            Command(plan.file, sets, environment, log), store, plan.minutes * 60
        )
        sets = reference.with_steps(job, sets, steps)
    steps = spec.load(plan.file, sets).training.steps
    report(f"training {steps} steps without interruption, for the reference digest")
    begin = time.monotonic()
    digest = reference.train(Command(plan.file, sets, environment, log), store)
    report(f"done in {time.monotonic() - begin:.0f} s: digest {digest[:12]}")
    return sets, digest


def _add_nodes(cluster: Nodes, count: int, report: Callable[[str], None]) -> None:
    report(f"starting a Ray cluster: a head and {count} nodes")
    for _ in range(count):
        cluster.add()
    wait_until(lambda: ports.answers(cluster.jobs), 60, "Ray's job server")


def _possible(kinds: Sequence[str], job: spec.JobSpec) -> list[str]:
    """Leave out `damage` if the job keeps one checkpoint only: it has none to fall back to."""
    if not kinds:
        raise InputError("--faults: expected kinds that this machine permits; all were left out")
    single = job.checkpoint.keep_last < 2
    possible = [kind for kind in kinds if not (single and kind == "damage")]
    if not possible:
        raise InputError(
            "checkpoint.keep_last=1: expected 2 or more for --faults damage, which damages the "
            "newest checkpoint"
        )
    return possible


def _verdict(
    targets: Targets, chaos_run: ChaosRun, sets: Sequence[str], digest: str
) -> dict[str, Any]:
    run, records = targets.run, goodput.records(targets.run)
    final = status(run, {})
    job = spec.load(chaos_run.command.file, sets)
    ends = [record.ended or record.last_seen for record in records]
    now = max(ends, default=time.time())
    clock_stepped = {fault.attempt for fault in chaos_run.injected if fault.kind == "clock"}
    events = [event_log.read(run, r.attempt) for r in records if r.attempt not in clock_stepped]
    paces = [account.step_s for account in goodput.accounts(records, now) if account.step_s]
    facts = Facts(
        attempts=records,
        faults=chaos_run.injected,
        total_steps=job.training.steps,
        interval_s=max((r.longest_interval_s for r in records), default=0.0),
        step_s=fastest_step(events) or min(paces, default=1.0),
        digest=final["digest"],
        reference=digest,
        submissions=chaos_run.submissions,
        lost_checkpoints=targets.watch.lost_checkpoints,
        now=now,
    )
    return {
        "state": final["state"],
        "steps": job.training.steps,
        "took_s": round(chaos_run.seconds, 1),
        "requests": dict(targets.proxy.counts),
        "clients": dict(targets.proxy.clients),
    } | judge(facts)


def _keep(to: Path, folder: Path, cluster: Nodes, run: Run) -> None:
    """Copy the run, the uninterrupted run and the logs of the cluster's nodes."""
    to.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        run.store.fetch_tree(run.name, to / "run")
    shutil.copytree(folder, to / "reference", dirs_exist_ok=True)
    cluster.copy_logs(to / "ray")


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does, so that every process is ended."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def require_kept(result: Mapping[str, Any]) -> None:
    """Raise an error if a promise was broken.

    Args:
        result: the object that `chaos` returned.

    Raises:
        JobFailed: at least one promise was broken; the message names all of them.
    """
    if broken := result["broken"]:
        lines = "\n".join(f"  {line}" for line in broken)
        noun = "promise was" if len(broken) == 1 else "promises were"
        raise JobFailed(f"{len(broken)} {noun} broken (seed {result['seed']}):\n{lines}")
