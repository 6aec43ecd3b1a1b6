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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ardm.chaos import emulator, small_faults, storage_faults
from ardm.chaos.power_cut import Disk
from ardm.chaos.soak_attempt import Order, attempt
from ardm.chaos.soak_result import Result, Struck, digest, judge
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
"""Kinds that are arranged when a process starts."""
EVERYWHERE = ("kill", "signals", "freeze")
ON_A_DISK = ("torn", "damage", "power", "full")
IN_A_BUCKET = ("outage", "slow")

OUTAGES = ("outage", "silence", "cut", "lost", "403", "429", "500", "503")
"""How a bucket does not answer."""

PATIENCE = 120.0
"""Seconds within which an attempt must train or end."""


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
            while self.result.faults.total() < faults:
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
        return digest(run)

    def _leg(self, faults: int) -> None:
        """Train the job to its end among faults."""
        self.result.legs += 1
        name, remote = f"leg-{self.result.legs}", self.result.legs % 4 == 0
        struck: list[Struck] = []
        process: BaseProcess | None = None
        before = 0
        while True:
            run = self._run(name, remote)
            enough = self.result.faults.total() + len(struck) >= faults
            kind = "" if enough else self._draw(remote, process is None)
            if process is None:
                before = max(run.attempts(), default=0)
                process = self._start(run, kind)
            if kind == "start":
                time.sleep(self._rng.uniform(0.0, 1.5))
                self._kill(process)
                fault: Struck | None = Struck(kind, before, self._newest_step(run))
                process = None
            elif kind and kind != "nan" and self._trains(run, process, before):
                time.sleep(self._rng.uniform(0.05, 1.5))
                fault, process = self._strike(kind, run, process)
            else:
                process.join(PATIENCE)
                if process.exitcode == 0:
                    break
                fault = self._failed(kind, run, process)
                process = None
            if fault:
                struck.append(fault)
            if len(self.result.broken) > 20:
                break
        self._judge(self._run(name, remote), struck)

    def _draw(self, remote: bool, starting: bool) -> str:
        kinds = [*EVERYWHERE, *(IN_A_BUCKET if remote else ON_A_DISK)]
        if starting:
            kinds += AT_THE_START
        return self._rng.choice([kind for kind in kinds if kind not in self.result.left_out])

    def _failed(self, kind: str, run: Run, process: BaseProcess) -> Struck | None:
        """The fault that ended an attempt early; None, after a report, if that was no fault."""
        if kind == "nan" and process.exitcode == 3:
            return Struck(kind, max(run.attempts(), default=0), self._newest_step(run))
        self._broken(run.name, f"an attempt ended with code {process.exitcode}")
        self._kill(process)
        return None

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
        self, kind: str, run: Run, process: BaseProcess
    ) -> tuple[Struck, BaseProcess | None]:
        """Inject a fault.

        Returns:
            A record of the fault, and the process that still trains; None if none does.
        """
        if kind == "full" and self._disk:
            with self._disk.full():
                time.sleep(self._rng.uniform(0.2, 2.0))
            return Struck(kind), process
        if kind in IN_A_BUCKET and self._proxy:
            return self._trouble_bucket(kind, self._proxy), process
        number = max(run.attempts(), default=0)
        if kind == "signals":
            return self._signal(run, process, number)
        small_faults.send(process, (signal.SIGSTOP,))
        good = self._good(run)
        kept = _step(good[0]) if good else 0
        if kind == "freeze":
            return self._overtake(run, process, Struck(kind, number, kept))
        if kind == "power" and self._disk:
            progress = run.store.read_record(run.progress(number)) or {}
            self._disk.cut_power()
            # What the process has reported as saved; a save under way may have a name already.
            kept = int(progress.get("saved_step") or 0)
        self._kill(process)
        what = ""
        if kind == "torn" and good:
            what = "; ".join(small_faults.tear(run, good[0], self._rng))
        if kind == "damage" and len(good) > 1:
            what, kept = small_faults.flip_a_byte(run, good[0], self._rng), _step(good[1])
            self._damaged.add(good[0].checkpoint.name)
        return Struck(kind, number, kept, what=what), None

    def _trouble_bucket(self, kind: str, proxy: Proxy) -> Struck:
        """Let the bucket be slow or not answer for a while."""
        slow = Fault("slow", delay=self._rng.choice((0.04, 1.0)))
        fault = slow if kind == "slow" else Fault(self._rng.choice(OUTAGES))
        proxy.inject(fault)
        time.sleep(self._rng.uniform(0.5, 3.0))
        proxy.heal()
        return Struck(kind, what=fault.kind)

    def _signal(
        self, run: Run, process: BaseProcess, number: int
    ) -> tuple[Struck, BaseProcess | None]:
        """Send signals, after which the attempt saves its last step, unless it has ended."""
        signals = self._rng.choice(small_faults.SIGNALS)
        small_faults.send(process, signals)
        process.join(PATIENCE)
        if process.exitcode not in (0, 75):
            self._broken(run.name, f"code {process.exitcode} after {signals}")
            self._kill(process)
        struck = Struck("signals", number, orderly=True, what=str(signals))
        return struck, None if process.exitcode else process

    def _overtake(
        self, run: Run, process: BaseProcess, struck: Struck
    ) -> tuple[Struck, BaseProcess]:
        """Let another attempt take the run over while this one does nothing."""
        other = self._start(run, "")
        self._trains(run, other, struck.attempt)
        small_faults.send(process, (signal.SIGCONT,))
        process.join(PATIENCE)
        if process.exitcode not in (0, 3):
            self._broken(run.name, f"code {process.exitcode} of an attempt that was overtaken")
            self._kill(process)
        return struck, other

    def _judge(self, run: Run, struck: list[Struck]) -> None:
        self.result.faults.update(fault.kind for fault in struck)
        for line in judge(self.result, run, struck):
            self._broken(run.name, line)
        done = self.result.faults.total()
        self._say(
            f"{run.name}: {len(run.attempts())} attempts, {len(struck)} faults; {done} in all"
        )

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
        # An end by SIGTERM unmounts the disk as well.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return Soak(seed, folder, say).run(faults).as_json()


def _step(entry: Entry) -> int:
    return entry.checkpoint.step
