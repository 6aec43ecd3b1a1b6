"""The run directory: every path in it is computed here.

<store>/<run>/
  job.yaml                     the frozen spec; job-000001.yaml ... what --override replaced
  overrides/000001.json        when --override was given, and what it changed
  submission.json              where Ray trains it, if Ray does; overwritten by each submission
  attempts/000003.json         the claim of attempt 3, created exclusively
  attempts/000003.stop         a request that attempt 3 save and end
  progress/000003.json         where attempt 3 is now, overwritten at every heartbeat, with the
                               newest events of its ledger (`tail`) and its end (`ended`)
  events/000003/000064.jsonl   earlier events, from number 64 on; of worker 1: rank1-000000.jsonl
  events/000003/000000-004095.jsonl  replaces 64 such files
  history/000003.json          a cache: what the first events of attempt 3 come to
  history/before.json          a cache: what the attempts before the newest ones come to
  checkpoints/000003/<step>/   its checkpoints (Orbax)
  damaged/000003/<step>/       the last checkpoints that did not verify, kept for inspection
  leases/000003-<step>         written again and again by whoever reads that checkpoint
  policies/000003-<step>.json  policies found for the checkpoint of that attempt and step
  evaluations/<step>-<split>.npz  the estimate of every image that was evaluated
  logs/ tensorboard/ samples/ plots/
"""

import re
from dataclasses import dataclass
from typing import Any

from ardm.errors import InputError
from ardm.job.spec import NAME
from ardm.store.store import Store

LONGEST_NAME = 100
"""Characters; beside them, the names of files below a run stay within what file systems take."""

METADATA = "_CHECKPOINT_METADATA"
"""The file of a checkpoint in which Orbax keeps what is committed with the arrays, as JSON."""


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
        """A file of `logs`, `tensorboard`, `samples`, `plots` or `evaluations`."""
        return f"{self.name}/{kind}/{name}"

    def replaced_job_file(self, n: int) -> str:
        return f"{self.name}/job-{n:06d}.yaml"

    def attempts(self) -> list[int]:
        """Numbers of all claimed attempts, ascending."""
        names = self.store.names(self.attempts_dir)
        found = (re.fullmatch(r"(\d{6,9})\.json", name) for name in names)
        return sorted(int(match.group(1)) for match in found if match)

    def newest_attempt(self) -> int:
        """Number of the newest claimed attempt; 0 if there is none."""
        return max(self.attempts(), default=0)

    def read_claim(self, attempt: int) -> dict[str, Any]:
        """Who claimed an attempt; empty if the claim is absent or torn."""
        return self.store.read_record(self.claim(attempt)) or {}

    def read_progress(self, attempt: int) -> dict[str, Any]:
        """Where an attempt is; empty if that is absent or torn."""
        return self.store.read_record(self.progress(attempt)) or {}


def shared_cache(store: Store, kind: str) -> str:
    """A directory that all runs of a store share, such as prepared data."""
    return store.url(f"_shared/{kind}")
