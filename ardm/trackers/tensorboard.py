"""TensorBoard's event files, one after another in one folder.

TensorBoard reads the files of a folder in the order of their names, as one run. The first file of
an attempt says from which step on the records of earlier attempts are void, since their steps were
lost and are taken again.
"""

import io
import sys
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
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams


class TensorBoardFile:
    """One event file that is being written.

    Args:
        folder: a new folder, for this file alone.
        void_from: records of this step and later ones in earlier files are void; None if the file
            goes on with the one before it.
        about: written at the beginning: the settings of the job, and its file as a text.
    """

    def __init__(self, folder: Path, void_from: int | None, about: About | None) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=void_from)
        (self.path,) = folder.iterdir()
        if about is not None:
            experiment, start, _ = hparams(dict(about.settings), {})
            for summary in (experiment, start):
                self._writer.file_writer.add_summary(summary)
            indented = "\n".join(f"    {line}" for line in about.job_file.splitlines())
            self._writer.add_text("job", indented, 0)

    def write(self, records: Sequence[Record]) -> None:
        """Write records to the disk."""
        for record in records:
            where = record.tag
            if isinstance(record, Scalar):
                self._writer.add_scalar(where, record.value, record.step, record.time)
            elif isinstance(record, Picture):
                pixels = np.asarray(Image.open(io.BytesIO(record.png)).convert("RGB"))
                self._writer.add_image(where, pixels, record.step, record.time, dataformats="HWC")
            else:
                self._writer.add_text(where, record.text, record.step, record.time)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._writer.close()
