"""The uninterrupted run: it measures the time of a step and gives the digest to compare with."""

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
"""The step time is measured in two runs: one of `PILOT_STEPS` steps, then one that lasts
`PILOT_SECONDS` at the speed of the first. In its first seconds a process trains at half its later
speed, so the speed of the first run alone would be too low."""

SHARE = 0.5
"""Expected goodput of the run with faults, relative to the speed of the uninterrupted run. The rest
of the time goes into recoveries, and into a cluster that shares the processors with the workers."""

FEWEST, MOST = 60, 200_000
"""Bounds of the number of steps of a run with faults."""


@dataclass(frozen=True)
class Command:
    """Runs `ardm` on one job file.

    Attributes:
        file: the job file.
        overrides: changes to the job file, as `section.key=value`.
        environment: environment variables of the command.
        log: file to which the output of every command is appended.
    """

    file: Path
    overrides: Sequence[str]
    environment: Mapping[str, str]
    log: Path

    def __call__(self, name: str, store: str, run: str, *options: str) -> int:
        """Run the command `ardm NAME` to its end; return its exit code."""
        sets = [word for item in self.overrides for word in ("--set", item)]
        command = [
            str(Path(sys.executable).with_name("ardm")), name, str(self.file),
            "--store", store, "--run", run, *sets, *options,
        ]  # fmt: skip
        with self.log.open("ab") as out:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.environment
            ).returncode

    def tail(self) -> str:
        """The last 15 lines that the commands printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def steps_for(command: Command, store: str, seconds: float) -> int:
    """Measure the step time, and choose the number of steps of the run with faults.

    Args:
        command: runs `ardm` on the job file.
        store: address of the store for the runs that are measured.
        seconds: intended duration of the run with faults (seconds).

    Returns:
        The number of training steps.
    """
    first = _step_seconds(command, store, "pilot-1", PILOT_STEPS)
    count = max(round(PILOT_SECONDS / first), PILOT_STEPS)
    return _within(SHARE * seconds / _step_seconds(command, store, "pilot-2", count))


def _step_seconds(command: Command, store: str, run: str, steps: int) -> float:
    sets = [f"training.steps={_within(steps)}", "training.warmup=0", "evaluation.final_images=8"]
    _train(command, store, run, [*sets, "evaluation.samples=0"])
    records = goodput.records(Run(Store(store), run))
    step_s = goodput.accounts(records, records[-1].ended or 0.0)[-1].step_s
    return max(step_s or 0.0, 1e-6)


def _within(steps: float) -> int:
    return round(min(max(steps, FEWEST), MOST))


def train(command: Command, store: str) -> str:
    """Train the job without interruption.

    Args:
        command: runs `ardm` on the job file.
        store: address of the store for the run.

    Returns:
        The digest of the final checkpoint.

    Raises:
        JobFailed: the command failed, or its last checkpoint does not verify.
    """
    _train(command, store, "reference", [])
    digest = status(Run(Store(store), "reference"), {})["digest"]
    if digest is None:
        raise JobFailed("the uninterrupted run left no checkpoint that verifies")
    return str(digest)


def with_steps(spec: JobSpec, overrides: Sequence[str], steps: int) -> list[str]:
    """Add overrides that set the number of steps, and shorten a warm-up that is longer."""
    added = [f"training.steps={steps}"]
    if spec.training.warmup > steps:
        added.append(f"training.warmup={steps}")
    return [*overrides, *added]


def _train(command: Command, store: str, run: str, overrides: list[str]) -> None:
    sets = [word for item in overrides for word in ("--set", item)]
    code = command("train", store, run, "--no-progress", *sets)
    if code:
        raise JobFailed(f"the uninterrupted run ended with exit code {code}:\n{command.tail()}")
