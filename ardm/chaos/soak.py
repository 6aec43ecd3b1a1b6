"""Many faults in a short time: attempts of a tiny job in processes of this machine.

The job is trained again and again, each time to its last step, until so many faults are through.
Each of these legs must end with the digest of a run that nobody interrupted, and no attempt may
begin with an earlier step than the newest checkpoint that was finished before the fault.
"""

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ardm.chaos import emulator, small_faults, storage_faults
from ardm.chaos.disk import Disk
from ardm.chaos.soak_attempt import Order, attempt
from ardm.chaos.storage_faults import Fault, Proxy
from ardm.errors import JobFailed
from ardm.runs import checkpoints, history
from ardm.runs.checkpoints import Entry
from ardm.runs.layout import Run
from ardm.runs.records import AttemptRecord
from ardm.runs.store import Store

JOB = """
job: soak
seed: 7
model: {net: {patch: 2, channels: 4, multipliers: [1, 1], blocks: 1, attention: [], groups: 2}}
training: {steps: 4000, batch_size: 4, grad_shards: 2, warmup: 2, learning_rate: 1e-3}
checkpoint: {interval: 0.2, keep_last: 3}
evaluation: {every: 100000, images: 16, final_images: 16, samples: 0}
"""

KINDS = {
    "kill": "SIGKILL while it trains",
    "start": "SIGKILL while it starts",
    "signals": "SIGTERM, SIGHUP or SIGINT, alone or two of them 20 ms apart",
    "freeze": "SIGSTOP; another attempt takes over; SIGCONT",
    "clock": "its clock jumps by up to an hour; SIGKILL",
    "nan": "a gradient becomes NaN",
    "torn": "SIGKILL; small files are emptied, cut, zeroed, removed or doubled",
    "damage": "SIGKILL; a bit of the newest checkpoint changes",
    "power": "the power of the disk is cut",
    "full": "the disk is full for a while",
    "outage": "the bucket does not answer for a while",
    "slow": "the bucket takes 40 ms to 1 s for each answer, for a while",
}
EVERYWHERE = ("kill", "start", "signals", "freeze", "clock", "nan")
ON_A_DISK = ("torn", "damage", "power", "full")
IN_A_BUCKET = ("outage", "slow")

PATIENCE = 120.0
"""Seconds within which an attempt must train or end."""


@dataclass
class Struck:
    """A fault that happened."""

    kind: str
    attempt: int
    kept: int
    """Step with which the next attempt must begin at the earliest."""
    orderly: bool
    """Whether the attempt had the time to save its last step."""
    what: str = ""


@dataclass
class Result:
    """What a soak has come to."""

    faults: Counter[str] = field(default_factory=Counter)
    legs: int = 0
    attempts: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    """Steps that were done again, by the kind of the fault."""
    broken: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Why kinds of fault cannot happen on this machine."""
    reference: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The object that `ardm soak --json` prints."""
        return {
            "faults": sum(self.faults.values()),
            "kinds": {
                kind: {"faults": self.faults[kind], "steps_lost": self.lost[kind]}
                for kind in KINDS
                if self.faults[kind]
            },
            "left_out": self.left_out,
            "runs": self.legs,
            "attempts": self.attempts,
            "digest": self.reference,
            "seconds": round(self.seconds, 1),
            "broken": self.broken,
        }


class Soak:
    """One soak.

    Args:
        seed: of the faults and their moments.
        folder: for stores and logs.
        say: takes lines for people.
    """

    def __init__(self, seed: int, folder: Path, say: Callable[[str], None]) -> None:
        self._rng, self._folder, self._say = random.Random(seed), folder, say
        self.result = Result()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["ardm.chaos.soak_attempt"])
        self._disk: Disk | None = None
        self._proxy: Proxy | None = None
        self._damaged: set[str] = set()
        """Names of checkpoints that this soak has damaged."""

    def run(self, faults: int) -> Result:
        """Let so many faults happen.

        Raises:
            JobFailed: the uninterrupted run fails.
        """
        begin = time.monotonic()
        with self._places():
            self.result.reference = self._reference()
            self._say(f"the uninterrupted run ends with {self.result.reference[:12]}")
            while sum(self.result.faults.values()) < faults:
                self._leg(faults)
        self.result.seconds = time.monotonic() - begin
        return self.result

    @contextmanager
    def _places(self) -> Iterator[None]:
        """A disk where one can be mounted, and a bucket behind a proxy."""
        with ExitStack() as stack:
            try:
                self._disk = Disk(self._folder)
                stack.callback(self._disk.close)
            except OSError as error:
                self.result.left_out |= dict.fromkeys(("power", "full"), str(error))
            server = stack.enter_context(emulator.serve(emulator.free_port()))
            emulator.make_bucket(server, "soak")
            self._proxy = stack.enter_context(
                storage_faults.serve(server, self._rng.randrange(2**31))
            )
            os.environ |= emulator.settings(self._proxy.address)
            yield

    def _reference(self) -> str:
        run = Run(Store(str(self._folder / "undisturbed")), "undisturbed")
        process = self._start(run, "")
        process.join(600)
        if process.exitcode != 0:
            raise JobFailed(f"the uninterrupted run failed:\n{self._tail()}")
        return _digest(run)

    def _leg(self, faults: int) -> None:
        """Train the job to its end among faults."""
        self.result.legs += 1
        remote = self.result.legs % 4 == 0
        name = f"leg-{self.result.legs}"
        struck: list[Struck] = []
        process: BaseProcess | None = None
        while True:
            run = self._run(name, remote)
            enough = sum(self.result.faults.values()) >= faults
            kind = "" if enough else self._rng.choice(self._kinds(remote, process is None))
            before = max(run.attempts(), default=0)
            if process is None:
                process = self._start(run, kind)
                if kind == "start":
                    time.sleep(self._rng.uniform(0.0, 1.5))
                    self._kill(process)
                    self._note(struck, Struck(kind, before, self._newest_step(run), False))
                    process = None
                    continue
            if enough or not self._trains(run, process, before if kind != "nan" else 10**9):
                process.join(PATIENCE)
                if process.exitcode == 0:
                    break
                if kind == "nan" and process.exitcode == 3:
                    mine = max(run.attempts(), default=0)
                    self._note(struck, Struck(kind, mine, self._newest_step(run), False))
                else:
                    self._broken(name, f"an attempt ended with code {process.exitcode}")
                    if len(self.result.broken) > 20:
                        break
                process = None
                continue
            time.sleep(self._rng.uniform(0.05, 1.5))
            process = self._strike(kind, run, process, struck)
        self._judge(self._run(name, remote), struck)

    def _kinds(self, remote: bool, starting: bool) -> list[str]:
        kinds = [*EVERYWHERE, *(IN_A_BUCKET if remote else ON_A_DISK)]
        if not starting:
            kinds = [kind for kind in kinds if kind not in ("start", "clock", "nan")]
        return [kind for kind in kinds if kind not in self.result.left_out]

    def _run(self, name: str, remote: bool) -> Run:
        if remote:
            return Run(Store("gs://soak/runs"), name)
        root = self._disk.root if self._disk else self._folder
        return Run(Store(str(root / "runs")), name)

    def _start(self, run: Run, kind: str) -> BaseProcess:
        rng = self._rng
        order = Order(
            run.store.uri,
            run.name,
            JOB,
            str(self._folder / "log"),
            rng.uniform(-3600, 3600) if kind == "clock" else 0.0,
            rng.randint(5, 60) if kind == "nan" else 0,
        )
        process = self._context.Process(target=attempt, args=(order,))
        process.start()
        return process

    def _trains(self, run: Run, process: BaseProcess, after: int) -> bool:
        """Wait until an attempt trains; False once its process has ended."""
        deadline = time.monotonic() + PATIENCE
        while process.is_alive():
            number = max(run.attempts(), default=0)
            found = (run.store.read_record(run.progress(number)) or {}) if number else {}
            if number > after and found.get("state") in ("training", "saving"):
                return True
            if time.monotonic() > deadline:
                self._broken(run.name, f"no attempt trains within {PATIENCE:.0f} s")
                self._kill(process)
            time.sleep(0.05)
        return False

    def _strike(
        self, kind: str, run: Run, process: BaseProcess, struck: list[Struck]
    ) -> BaseProcess | None:
        """Let a fault happen; the process that goes on, if one does."""
        number = max(run.attempts(), default=0)
        if kind == "full" and self._disk:
            with self._disk.full():
                time.sleep(self._rng.uniform(0.2, 2.0))
            self._note(struck, Struck(kind, 0, 0, False))
            return process
        if kind in IN_A_BUCKET and self._proxy:
            how = Fault("slow", delay=self._rng.choice((0.04, 1.0))) if kind == "slow" else None
            self._proxy.inject(how or Fault(self._rng.choice(("outage", "503", "silence"))))
            time.sleep(self._rng.uniform(0.5, 3.0))
            self._proxy.heal()
            self._note(struck, Struck(kind, 0, 0, False))
            return process
        if kind == "signals":
            signals = self._rng.choice(small_faults.SIGNALS)
            small_faults.send(process, signals)
            process.join(PATIENCE)
            if process.exitcode not in (0, 75):
                self._broken(run.name, f"code {process.exitcode} after {signals}")
                self._kill(process)
            self._note(struck, Struck(kind, number, 0, True, str(signals)))
            return None if process.exitcode else process
        os.kill(process.pid or 0, signal.SIGSTOP)
        good = self._good(run)
        kept = good[0].checkpoint.step if good else 0
        if kind == "freeze":
            other = self._start(run, "")
            self._trains(run, other, number)
            os.kill(process.pid or 0, signal.SIGCONT)
            process.join(PATIENCE)
            if process.exitcode not in (0, 3):
                self._broken(run.name, f"code {process.exitcode} of an attempt that was overtaken")
                self._kill(process)
            self._note(struck, Struck(kind, number, kept, False))
            return other
        what = ""
        if kind == "power" and self._disk:
            progress = run.store.read_record(run.progress(number)) or {}
            self._disk.cut_power()
            # What the process has reported as saved; a save under way may have a name already.
            kept = int(progress.get("saved_step") or 0)
        self._kill(process)
        if kind == "torn" and good:
            what = "; ".join(small_faults.tear(run, good[0], self._rng))
        if kind == "damage" and len(good) > 1:
            what, kept = small_faults.flip_a_byte(run, good[0], self._rng), _step(good[1])
            self._damaged.add(good[0].checkpoint.name)
        self._note(struck, Struck(kind, number, kept, False, what))
        return None

    def _note(self, struck: list[Struck], fault: Struck) -> None:
        struck.append(fault)
        self.result.faults[fault.kind] += 1

    def _judge(self, run: Run, struck: list[Struck]) -> None:
        """Hold a finished leg against the promises."""
        records = {record.attempt: record for record in history.read(run).records}
        self.result.attempts += len(records)
        if (found := _digest(run)) != self.result.reference:
            self._broken(run.name, f"it ended with the digest {found[:12]}")
        for fault in (fault for fault in struck if fault.attempt):
            record = records.get(fault.attempt)
            after = _next(records, fault.attempt)
            if record is None or after is None or after.first_step is None:
                continue
            lost = max((record.last_step or 0) - after.first_step, 0)
            self.result.lost[fault.kind] += lost
            torn = any(other.kind == "torn" for other in struck)
            if fault.orderly and lost and not torn:
                self._broken(run.name, f"{fault.kind}: {lost} steps lost ({fault.what})")
            if after.first_step < fault.kept:
                self._broken(
                    run.name,
                    f"{fault.kind}: attempt {after.attempt} began with step {after.first_step}, "
                    f"though step {fault.kept} was saved ({fault.what})",
                )
        done, seconds = sum(self.result.faults.values()), len(records)
        self._say(f"{run.name}: {seconds} attempts, {len(struck)} faults; {done} in all")

    def _broken(self, name: str, what: str) -> None:
        line = f"{name}: {what}"
        self.result.broken.append(line)
        self._say(f"BROKEN {line}\n{self._tail()}")

    def _good(self, run: Run) -> list[Entry]:
        """The finished checkpoints of a run that nobody has damaged, the newest first."""
        found = checkpoints.entries(run)
        return [e for e in found if e.committed and e.checkpoint.name not in self._damaged]

    def _newest_step(self, run: Run) -> int:
        good = self._good(run)
        return _step(good[0]) if good else 0

    def _kill(self, process: BaseProcess) -> None:
        process.kill()
        process.join(30)

    def _tail(self) -> str:
        log = self._folder / "log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(f"  {line}" for line in text.splitlines()[-8:])


def soak(faults: int, seed: int, keep: Path | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Train a tiny job among faults.

    Args:
        faults: how many.
        seed: of the faults and their moments.
        keep: a directory for stores and logs; None for a temporary one.
        say: takes lines for people.

    Returns:
        The object that `ardm soak --json` prints.
    """
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ardm-soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        # Before the first process is forked: compiled programs outlive every disk.
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "programs")
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
        os.environ["JAX_PLATFORMS"] = "cpu"
        return Soak(seed, folder, say).run(faults).as_json()


def _digest(run: Run) -> str:
    newest = checkpoints.committed(run)
    return str(checkpoints.verify(newest[0])["digest"]) if newest else "none"


def _step(entry: Entry) -> int:
    return entry.checkpoint.step


def _next(records: dict[int, AttemptRecord], attempt: int) -> AttemptRecord | None:
    """The first attempt after one that got as far as a checkpoint."""
    later = sorted(number for number in records if number > attempt)
    return next((records[n] for n in later if records[n].first_step is not None), None)
