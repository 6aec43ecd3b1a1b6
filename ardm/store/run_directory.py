"""The run directory; all its paths are computed here.

<store>/<run>/
  job.yaml                     the frozen spec; job-000001.yaml ... were replaced by --override
  overrides/000001.json        when --override was given, and what it changed
  submission.json              the Ray job that trains the run, if any; replaced by each submission
  attempts/000003.json         the claim of attempt 3, created exclusively
  attempts/000003.stop         a request that attempt 3 save and end
  progress/000003.json         the progress of attempt 3, replaced at every heartbeat, with the
                               newest events of its event log (`tail`) and its end (`ended`)
  events/000003/000064.jsonl   older events, from number 64 on; worker 1 has rank1-000000.jsonl
  events/000003/000000-004095.jsonl  64 such files, merged
  history/000003.json          a cache: the first events of attempt 3, summed up
  history/before.json          a cache: all attempts but the newest ones, summed up
  checkpoints/000003/<step>/   the checkpoints that attempt 3 saved (Orbax)
  damaged/000003/<step>/       the last checkpoints that did not verify, kept for inspection
  leases/000003-<step>         renewed by each reader while it reads that checkpoint
  policies/000003-<step>.json  policies found for the checkpoint of that attempt and step
  evaluations/<step>-<split>.npz  the NELBO estimate of every evaluated image
  trackers/wandb-000003.json   figures that W&B had not got when attempt 3 last saved
  logs/ tensorboard/ samples/ plots/
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ardm.errors import InputError
from ardm.job.spec import NAME
from ardm.store.store import Store

LONGEST_NAME = 100
"""Characters in the name of a run: with more, its files' names could be too long for a disk."""

METADATA = "_CHECKPOINT_METADATA"
"""The JSON file of a checkpoint in which Orbax stores the metadata committed with the arrays."""


@dataclass(frozen=True)
class Run:
    """One run: a directory of a store."""

    store: Store
    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.name) or len(self.name) > LONGEST_NAME:
            raise InputError(
                f"run {self.name!r}: expected at most {LONGEST_NAME} lower-case letters, digits, - "
                "and _, such as binmnist-1124-0915"
            )

    @property
    def uri(self) -> str:
        return self.store.url(self.name)

    @property
    def job_file(self) -> str:
        return f"{self.name}/job.yaml"

    @property
    def attempts_dir(self) -> str:
        return f"{self.name}/attempts"

    def claim(self, attempt: int) -> str:
        return f"{self.attempts_dir}/{attempt:06d}.json"

    def stop_request(self, attempt: int) -> str:
        return f"{self.attempts_dir}/{attempt:06d}.stop"

    @property
    def progress_dir(self) -> str:
        return f"{self.name}/progress"

    def progress(self, attempt: int) -> str:
        return f"{self.progress_dir}/{attempt:06d}.json"

    @property
    def events_dir(self) -> str:
        return f"{self.name}/events"

    def events(self, attempt: int) -> str:
        return f"{self.events_dir}/{attempt:06d}"

    def summary(self, attempt: int) -> str:
        return f"{self.name}/history/{attempt:06d}.json"

    @property
    def roll_up(self) -> str:
        return f"{self.name}/history/before.json"

    @property
    def checkpoints_dir(self) -> str:
        return f"{self.name}/checkpoints"

    def checkpoint(self, attempt: int, step: int) -> str:
        return f"{self.checkpoints_dir}/{attempt:06d}/{step}"

    @property
    def submission(self) -> str:
        return f"{self.name}/submission.json"

    def damaged(self, attempt: int, step: int) -> str:
        return f"{self.damaged_dir}/{attempt:06d}/{step}"

    @property
    def damaged_dir(self) -> str:
        return f"{self.name}/damaged"

    def lease(self, attempt: int, step: int) -> str:
        return f"{self.name}/leases/{attempt:06d}-{step}"

    @property
    def overrides_dir(self) -> str:
        return f"{self.name}/overrides"

    def override(self, n: int) -> str:
        return f"{self.overrides_dir}/{n:06d}.json"

    def policies(self, attempt: int, step: int) -> str:
        return f"{self.name}/policies/{attempt:06d}-{step}.json"

    def file(self, kind: str, name: str) -> str:
        """Path of a file in one of the folders without a property of their own, such as `logs`."""
        return f"{self.name}/{kind}/{name}"

    def replaced_job_file(self, n: int) -> str:
        return f"{self.name}/job-{n:06d}.yaml"

    def attempts(self) -> list[int]:
        """Numbers of all claimed attempts, ascending."""
        return attempts_among(self.store.names(self.attempts_dir))

    def newest_attempt(self) -> int:
        """Number of the newest claimed attempt; 0 if there is none."""
        return max(self.attempts(), default=0)

    def read_claim(self, attempt: int) -> dict[str, Any]:
        """The claim of an attempt; empty if it is absent or torn."""
        return self.store.read_record(self.claim(attempt)) or {}

    def read_progress(self, attempt: int) -> dict[str, Any]:
        """The progress of an attempt; empty if it is absent or torn."""
        return self.store.read_record(self.progress(attempt)) or {}


def attempts_among(names: Sequence[str]) -> list[int]:
    """Numbers of the attempts whose claims are among the names in an `attempts` directory."""
    matches = (re.fullmatch(r"(\d{6,9})\.json", name) for name in names)
    return sorted(int(match.group(1)) for match in matches if match)


def shared_cache(store: Store, kind: str) -> str:
    """Address of a cache that all runs of a store share, such as that of prepared data."""
    return store.url(f"_shared/{kind}")
