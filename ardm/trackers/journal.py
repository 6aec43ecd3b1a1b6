"""The records that a tracker has not got yet, kept in the run so that a kill does not lose them.

They are written before the checkpoint is committed to which they lead. So the next attempt, which
begins with that checkpoint, can pass them on.
"""

import base64
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from ardm.store.run_directory import Run
from ardm.trackers.tracker import Picture, Record, Scalar, Text

log = logging.getLogger(__name__)

_KINDS = {"scalar": Scalar, "text": Text, "picture": Picture}
_NAMES = {kind: name for name, kind in _KINDS.items()}

MOST = 2**22
"""Bytes of a journal; of a tracker that fails for long, only the newest records survive a kill."""


class Journal:
    """The journal of one attempt about one tracker.

    Args:
        run: the run.
        attempt: number of the attempt. Each attempt has its own file, so a superseded attempt that
            still writes spoils nothing.
        tracker: name of the tracker.
    """

    def __init__(self, run: Run, attempt: int, tracker: str) -> None:
        self._run, self._attempt, self._tracker = run, attempt, tracker
        self._earlier: list[str] = []

    def read(self) -> tuple[int, list[Record]]:
        """What the newest earlier attempt left.

        Returns:
            The last step that the tracker has got (0 if none is known), and the records that it
            has not got. A journal that is torn counts as empty.

        Raises:
            OSError: the store fails; some file systems raise errors of another class.
        """
        names = self._run.store.names(f"{self._run.name}/trackers")
        own = self._name(self._attempt)
        self._earlier = sorted(n for n in names if n.startswith(f"{self._tracker}-") and n < own)
        if not self._earlier:
            return 0, []
        found = self._run.store.read_record(self._run.file("trackers", self._earlier[-1])) or {}
        try:
            return int(found["passed"]), [_from_json(record) for record in found["records"]]
        except (KeyError, TypeError, ValueError):
            log.warning("the journal of %s cannot be read; figures may lack", self._tracker)
            return 0, []

    def write(self, passed: int, records: Iterable[Record]) -> None:
        """Replace the journal; those of earlier attempts are removed.

        Args:
            passed: the last step that the tracker has got.
            records: the records that it has not got.

        Raises:
            OSError: the store fails; some file systems raise errors of another class.
        """
        kept = _newest([json.dumps(_as_json(record)) for record in records])
        data = f'{{"passed": {passed}, "records": [{", ".join(kept)}]}}'
        self._run.store.write(self._run.file("trackers", self._name(self._attempt)), data.encode())
        if self._earlier:
            self._run.store.remove([self._run.file("trackers", name) for name in self._earlier])
            self._earlier = []

    def _name(self, attempt: int) -> str:
        return f"{self._tracker}-{attempt:06d}.json"


def _newest(texts: Sequence[str]) -> list[str]:
    """The last of the texts, as many as fit into a journal."""
    size, first = 0, len(texts)
    while first and size + len(texts[first - 1]) <= MOST:
        first -= 1
        size += len(texts[first])
    return list(texts[first:])


def _as_json(record: Record) -> dict[str, Any]:
    fields = asdict(record)
    if isinstance(record, Picture):
        fields["png"] = base64.b64encode(record.png).decode()
    return {"kind": _NAMES[type(record)], **fields}


def _from_json(fields: dict[str, Any]) -> Record:
    kind = _KINDS[fields.pop("kind")]
    if kind is Picture:
        fields["png"] = base64.b64decode(fields["png"])
    return kind(**fields)
