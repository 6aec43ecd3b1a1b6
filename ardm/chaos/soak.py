"""The soak test: many faults in a short time, injected into processes that train a tiny job.

The job is trained in rounds, each from its first step to its last, until the requested number of
faults was injected. Each round must end with the digest of an uninterrupted run, and no attempt may
begin with an earlier step than that of the newest checkpoint that was finished before the fault.
"""

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ardm.chaos import emulator, small_faults, storage_faults
from ardm.chaos.power_cut import Disk
from ardm.chaos.soak_attempt import AttemptOptions, attempt
from ardm.chaos.soak_result import Result, SoakFault, digest, judge
from ardm.chaos.storage_faults import Fault, Proxy
from ardm.checkpoint import checkpoints
from ardm.checkpoint.checkpoints import Entry
from ardm.errors import JobFailed
from ardm.store.run_directory import Run
from ardm.store.store import Store

JOB = """
job: soak
seed: 7
model: {net: {patch: 2, channels: 4, multipliers: [1, 1], blocks: 1, attention: [], groups: 2}}
training: {steps: 1000, batch_size: 4, grad_shards: 2, warmup: 2, learning_rate: 1e-3}
checkpoint: {interval: 0.2, keep_last: 3}
evaluation: {every: 100000, images: 16, final_images: 16, samples: 0}
"""

AT_THE_START = ("start", "clock", "nan")
"""Kinds of faults that must be prepared when a process starts."""
EVERYWHERE = ("kill", "signals", "freeze")
ON_A_DISK = ("torn", "damage", "power", "full")
IN_A_BUCKET = ("outage", "slow")

OUTAGES = ("outage", "silence", "cut", "lost", "403", "429", "500", "503")
"""Kinds of storage faults in which a bucket does not answer, or answers with errors."""

TIMEOUT_S = 120.0
"""An attempt that neither trains nor ends within this time is an error (seconds)."""


class Soak:
    """One soak test.

    Args:
        seed: seed of the random faults and their times.
        folder: directory for stores and logs.
        report: called with each line of progress for the user.
    """

    def __init__(self, seed: int, folder: Path, report: Callable[[str], None]) -> None:
        self._rng, self._folder, self._report = random.Random(seed), folder, report
        self.result = Result()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["ardm.chaos.soak_attempt"])
        self._disk: Disk | None = None
        self._proxy: Proxy | None = None
        self._damaged: set[str] = set()
        """Names of the checkpoints that were damaged on purpose."""

    def run(self, faults: int) -> Result:
        """Run rounds until the requested number of faults was injected.

        Raises:
            JobFailed: the uninterrupted run failed.
        """
        begin = time.monotonic()
        with self._stores():
            self.result.reference = self._reference()
            self._report(f"the uninterrupted run ends with {self.result.reference[:12]}")
            while self.result.faults.total() < faults:
                self._round(faults)
        self.result.seconds = time.monotonic() - begin
        return self.result

    @contextmanager
    def _stores(self) -> Iterator[None]:
        """Mount a disk, if that is permitted, and start a bucket behind a proxy."""
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
        return digest(run)

    def _round(self, faults: int) -> None:
        """Train the job to its end while faults are injected, and check the promises."""
        self.result.rounds += 1
        name, remote = f"round-{self.result.rounds}", self.result.rounds % 4 == 0
        injected: list[SoakFault] = []
        process: BaseProcess | None = None
        before = 0
        while True:
            run = self._run(name, remote)
            enough = self.result.faults.total() + len(injected) >= faults
            kind = "" if enough else self._draw(remote, process is None)
            if process is None:
                before = run.newest_attempt()
                process = self._start(run, kind)
            if kind == "start":
                time.sleep(self._rng.uniform(0.0, 1.5))
                self._kill(process)
                fault: SoakFault | None = SoakFault(kind, before, self._newest_step(run))
                process = None
            elif kind and kind != "nan" and self._trains(run, process, before):
                time.sleep(self._rng.uniform(0.05, 1.5))
                fault, process = self._inject(kind, run, process)
            else:
                process.join(TIMEOUT_S)
                if process.exitcode == 0:
                    break
                fault = self._failed(kind, run, process)
                process = None
            if fault:
                injected.append(fault)
            if len(self.result.broken) > 20:
                break
        self._judge(self._run(name, remote), injected)

    def _draw(self, remote: bool, starting: bool) -> str:
        kinds = [*EVERYWHERE, *(IN_A_BUCKET if remote else ON_A_DISK)]
        if starting:
            kinds += AT_THE_START
        return self._rng.choice([kind for kind in kinds if kind not in self.result.left_out])

    def _failed(self, kind: str, run: Run, process: BaseProcess) -> SoakFault | None:
        """The fault that ended an attempt early; if there was none, report a broken promise."""
        if kind == "nan" and process.exitcode == 3:
            return SoakFault(kind, run.newest_attempt(), self._newest_step(run))
        self._report_broken(run.name, f"an attempt ended with exit code {process.exitcode}")
        self._kill(process)
        return None

    def _run(self, name: str, remote: bool) -> Run:
        if remote:
            return Run(Store("gs://soak/runs"), name)
        root = self._disk.root if self._disk else self._folder
        return Run(Store(str(root / "runs")), name)

    def _start(self, run: Run, kind: str) -> BaseProcess:
        rng = self._rng
        options = AttemptOptions(
            run.store.uri,
            run.name,
            JOB,
            str(self._folder / "log"),
            rng.uniform(-3600, 3600) if kind == "clock" else 0.0,
            rng.randint(5, 60) if kind == "nan" else 0,
        )
        process = self._context.Process(target=attempt, args=(options,))
        process.start()
        return process

    def _trains(self, run: Run, process: BaseProcess, after: int) -> bool:
        """Wait until an attempt newer than `after` trains; False if the process ends before."""
        deadline = time.monotonic() + TIMEOUT_S
        while process.is_alive():
            number = run.newest_attempt()
            progress = run.read_progress(number) if number else {}
            if number > after and progress.get("state") in ("training", "saving"):
                return True
            if time.monotonic() > deadline:
                self._report_broken(run.name, f"no attempt trains within {TIMEOUT_S:.0f} s")
                self._kill(process)
            time.sleep(0.05)
        return False

    def _inject(
        self, kind: str, run: Run, process: BaseProcess
    ) -> tuple[SoakFault, BaseProcess | None]:
        """Inject a fault.

        Returns:
            A record of the fault, and the process that still trains (None if none does).
        """
        if kind == "full" and self._disk:
            with self._disk.full():
                time.sleep(self._rng.uniform(0.2, 2.0))
            return SoakFault(kind), process
        if kind in IN_A_BUCKET and self._proxy:
            return self._disturb_bucket(kind, self._proxy), process
        number = run.newest_attempt()
        if kind == "signals":
            return self._signal(run, process, number)
        small_faults.send(process, (signal.SIGSTOP,))
        intact = self._intact(run)
        kept = _step(intact[0]) if intact else 0
        if kind == "freeze":
            return self._supersede(run, process, SoakFault(kind, number, kept))
        if kind == "power" and self._disk:
            progress = run.read_progress(number)
            self._disk.cut_power()
            # Only what the process has reported as saved counts: the directory of a save under way
            # may exist already.
            kept = int(progress.get("saved_step") or 0)
        self._kill(process)
        details = ""
        if kind == "torn" and intact:
            details = "; ".join(small_faults.tear(run, intact[0], self._rng))
        if kind == "damage" and len(intact) > 1:
            details, kept = small_faults.flip_a_byte(run, intact[0], self._rng), _step(intact[1])
            self._damaged.add(intact[0].checkpoint.name)
        return SoakFault(kind, number, kept, what=details), None

    def _disturb_bucket(self, kind: str, proxy: Proxy) -> SoakFault:
        """Let the bucket be slow, fail or not answer for a while."""
        slow = Fault("slow", delay=self._rng.choice((0.04, 1.0)))
        fault = slow if kind == "slow" else Fault(self._rng.choice(OUTAGES))
        proxy.inject(fault)
        time.sleep(self._rng.uniform(0.5, 3.0))
        proxy.heal()
        return SoakFault(kind, what=fault.kind)

    def _signal(
        self, run: Run, process: BaseProcess, number: int
    ) -> tuple[SoakFault, BaseProcess | None]:
        """Send signals, at which the attempt must save its last step and end."""
        signals = self._rng.choice(small_faults.SIGNALS)
        small_faults.send(process, signals)
        process.join(TIMEOUT_S)
        if process.exitcode not in (0, 75):
            self._report_broken(run.name, f"exit code {process.exitcode} after {signals}")
            self._kill(process)
        fault = SoakFault("signals", number, orderly=True, what=str(signals))
        return fault, None if process.exitcode else process

    def _supersede(
        self, run: Run, process: BaseProcess, fault: SoakFault
    ) -> tuple[SoakFault, BaseProcess]:
        """Let another attempt take over the run while this one is frozen."""
        other = self._start(run, "")
        self._trains(run, other, fault.attempt)
        small_faults.send(process, (signal.SIGCONT,))
        process.join(TIMEOUT_S)
        if process.exitcode not in (0, 3):
            self._report_broken(run.name, f"exit code {process.exitcode} of a superseded attempt")
            self._kill(process)
        return fault, other

    def _judge(self, run: Run, faults: list[SoakFault]) -> None:
        self.result.faults.update(fault.kind for fault in faults)
        for line in judge(self.result, run, faults):
            self._report_broken(run.name, line)
        total = self.result.faults.total()
        self._report(
            f"{run.name}: {len(run.attempts())} attempts, {len(faults)} faults; {total} in all"
        )

    def _report_broken(self, name: str, problem: str) -> None:
        line = f"{name}: {problem}"
        self.result.broken.append(line)
        self._report(f"BROKEN {line}\n{self._tail()}")

    def _intact(self, run: Run) -> list[Entry]:
        """The finished checkpoints of a run that no fault has damaged, the newest first."""
        entries = checkpoints.entries(run)
        return [e for e in entries if e.committed and e.checkpoint.name not in self._damaged]

    def _newest_step(self, run: Run) -> int:
        intact = self._intact(run)
        return _step(intact[0]) if intact else 0

    def _kill(self, process: BaseProcess) -> None:
        process.kill()
        process.join(30)

    def _tail(self) -> str:
        log = self._folder / "log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(f"  {line}" for line in text.splitlines()[-8:])


def soak(
    faults: int, seed: int, keep: Path | None, report: Callable[[str], None]
) -> dict[str, Any]:
    """Train a tiny job while many faults are injected.

    Args:
        faults: number of faults to inject.
        seed: seed of the random faults and their times.
        keep: directory for stores and logs; None uses a temporary one.
        report: called with each line of progress for the user.

    Returns:
        The object that `ardm soak --json` prints.
    """
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ardm-soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        # Set before the first process is forked. Compiled programs must survive the disks.
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "programs")
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
        os.environ["JAX_PLATFORMS"] = "cpu"
        # SIGTERM must unmount the disk, too, as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return Soak(seed, folder, report).run(faults).as_json()


def _step(entry: Entry) -> int:
    return entry.checkpoint.step
