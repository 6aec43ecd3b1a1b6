"""TensorBoard's event files, one after another in one folder.

TensorBoard reads the files of a folder in the order of their names, as one run. The first file of
an attempt says from which step on the records of earlier attempts are void, since their steps were
lost and are taken again.
"""

import io
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from ardm.trackers.tracker import About, Picture, Record, Scalar


@contextmanager
def _absent(*names: str) -> Iterator[None]:
    """Let modules that are not loaded yet look as if they were not installed."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # as `import` allows
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


# It would load clients of clouds, which take a second; our files are written to the disk.
with _absent("boto3", "google.cloud.storage"):
    from tensorboardX import summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.summary_pb2 import Summary


class TensorBoardFile:
    """One event file that is being written.

    tensorboardX's `SummaryWriter` is not used: its `flush` (2.6) leaves behind what is still in its
    queue.

    Args:
        folder: a new folder, for this file alone.
        void_from: records of this step and later ones in earlier files are void; None if the file
            goes on with the one before it.
        about: written at the beginning: the settings of the job, and its file as a text.
    """

    def __init__(self, folder: Path, void_from: int | None, about: About | None) -> None:
        folder.mkdir(parents=True)
        self._writer = EventsWriter(str(folder / "events"))
        (self.path,) = folder.iterdir()
        if void_from is not None:
            start = SessionLog(status=SessionLog.START)
            event = Event(session_log=start, step=void_from, wall_time=time.time())
            self._writer.write_event(event)
        if about is not None:
            experiment, start, _ = summary.hparams(dict(about.settings), {})
            indented = "\n".join(f"    {line}" for line in about.job_file.splitlines())
            for shown in (experiment, start, summary.text("job", indented)):
                self._add(shown, 0, time.time())

    def write(self, records: Sequence[Record]) -> None:
        """Write records to the disk."""
        for record in records:
            if isinstance(record, Scalar):
                shown = summary.scalar(record.tag, record.value)
            elif isinstance(record, Picture):
                pixels = np.asarray(Image.open(io.BytesIO(record.png)).convert("RGB"))
                shown = summary.image(record.tag, pixels, dataformats="HWC")
            else:
                shown = summary.text(record.tag, record.text)
            self._add(shown, record.step, record.time)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._writer.close()

    def _add(self, shown: Summary, step: int, when: float) -> None:
        self._writer.write_event(Event(summary=shown, step=step, wall_time=when))
