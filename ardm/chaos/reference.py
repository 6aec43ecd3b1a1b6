"""The run that nobody interrupts: how fast a step is, and with which digest the job ends."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ardm.analysis import goodput
from ardm.analysis.status import status
from ardm.errors import JobFailed
from ardm.job.spec import JobSpec
from ardm.store.run_directory import Run
from ardm.store.store import Store

PILOT_STEPS, PILOT_SECONDS = 60, 15.0
"""Steps of a first short run, and how long a second one takes at its pace. For seconds after its
start a process is half as fast as later, so that the pace of the first run is not the job's."""

SHARE = 0.5
"""Of the time among faults that is expected to go into steps that count, at the reference's pace:
the rest goes into recoveries, and into cluster and workers sharing the machine's processors."""

FEWEST, MOST = 60, 200_000
"""Steps of a run among faults."""


@dataclass(frozen=True)
class Command:
    """The command line, on one job file.

    Attributes:
        file: the job.
        overrides: as with `--set`.
        environment: variables.
        log: what the command says is added there.
    """

    file: Path
    overrides: Sequence[str]
    environment: Mapping[str, str]
    log: Path

    def __call__(self, name: str, store: str, run: str, *more: str) -> int:
        """Run `ardm NAME` to its end; its exit code."""
        sets = [word for item in self.overrides for word in ("--set", item)]
        command = [
            str(Path(sys.executable).with_name("ardm")), name, str(self.file),
            "--store", store, "--run", run, *sets, *more,
        ]  # fmt: skip
        with self.log.open("ab") as out:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.environment
            ).returncode

    def tail(self) -> str:
        """The end of what the commands said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def steps_for(command: Command, store: str, seconds: float) -> int:
    """Training steps that take about so long among faults, from the pace of a few of them.

    Args:
        command: the command line on the job.
        store: for the run that is measured.
        seconds: that the run among faults is to take.
    """
    first = _step_seconds(command, store, "pilot-1", PILOT_STEPS)
    count = max(round(PILOT_SECONDS / first), PILOT_STEPS)
    return _within(SHARE * seconds / _step_seconds(command, store, "pilot-2", count))


def _step_seconds(command: Command, store: str, run: str, steps: int) -> float:
    sets = [f"training.steps={_within(steps)}", "training.warmup=0", "evaluation.final_images=8"]
    _train(command, store, run, [*sets, "evaluation.samples=0"])
    found = goodput.records(Run(Store(store), run))
    step_s = goodput.accounts(found, found[-1].ended or 0.0)[-1].step_s
    return max(step_s or 0.0, 1e-6)


def _within(steps: float) -> int:
    return round(min(max(steps, FEWEST), MOST))


def train(command: Command, store: str) -> str:
    """Train without interruption.

    Returns:
        The final digest.

    Raises:
        JobFailed: the command failed, or its last checkpoint does not verify.
    """
    _train(command, store, "reference", [])
    digest = status(Run(Store(store), "reference"), {})["digest"]
    if digest is None:
        raise JobFailed("the uninterrupted run left no checkpoint that verifies")
    return str(digest)


def with_steps(spec: JobSpec, overrides: Sequence[str], steps: int) -> list[str]:
    """Overrides that make a job so long; its warm-up must fit."""
    more = [f"training.steps={steps}"]
    if spec.training.warmup > steps:
        more.append(f"training.warmup={steps}")
    return [*overrides, *more]


def _train(command: Command, store: str, run: str, more: list[str]) -> None:
    sets = [word for item in more for word in ("--set", item)]
    code = command("train", store, run, "--no-progress", *sets)
    if code:
        raise JobFailed(f"the uninterrupted run ended with exit code {code}:\n{command.tail()}")
