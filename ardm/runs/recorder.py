"""What rank 0 tells the store while it trains, and what it hears from there, on one thread.

Every few seconds, and soon after an event: the ledger, the progress object, the log and the
TensorBoard file go out; a stop request and a newer claim come in. No fault of the store reaches the
training thread, and what one of these meets keeps none of the others.
"""

import logging
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from ardm import strict_json
from ardm.runs import attempt
from ardm.runs.layout import Run
from ardm.runs.ledger import Ledger
from ardm.runs.patience import BACK_OFF, LONGEST_BACK_OFF, Patience
from ardm.runs.scratch import prefix

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

log = logging.getLogger(__name__)

BEAT_LOCAL, BEAT_REMOTE = 1.0, 4.0
"""Seconds between two beats without an event."""

BREATH = 1.0
"""Seconds between any two beats: a cloud store takes one write per second to an object."""

LAST_WORDS = 20.0
"""Seconds that the last beat may take: how an attempt ended is worth some patience."""


class Recorder:
    """The voice and ears of one attempt.

    Args:
        run: the run.
        number: of the attempt.
        ledger: flushed at every beat.
        progress: asked at every beat for what `ardm status` and `ardm watch` show.
    """

    def __init__(
        self, run: Run, number: int, ledger: Ledger, progress: Callable[[], dict[str, Any]]
    ) -> None:
        self._run, self._number, self._ledger, self._progress = run, number, ledger, progress
        self._folder = tempfile.TemporaryDirectory(prefix=prefix())
        self._sizes: dict[Path, int] = {}
        self._log_file = Path(self._folder.name) / "logs" / f"{number:06d}.log"
        self._handler = _log_to(self._log_file)
        self._ended = threading.Event()
        self._last = Patience(0.0)
        self._thread = threading.Thread(target=self._beats, name="ardm-recorder", daemon=True)
        self.stop_requested = False
        self.superseded_by: int | None = None
        self._scalars: SimpleQueue[tuple[str, float, int, float]] = SimpleQueue()
        self._tensorboard: SummaryWriter | None = None

    def start(self) -> None:
        self._thread.start()

    def close(self, patience: Patience | None = None) -> None:
        """Send everything that is left, again and again while patience lasts.

        Args:
            patience: `LAST_WORDS` if none is given.
        """
        self._last = patience or Patience(LAST_WORDS)
        self._ended.set()
        self._ledger.news.set()
        if self._thread.ident is None:
            self._thread.start()
        # Not for ever: the thread may hang in a call to the store.
        while self._thread.is_alive() and (left := self._last.left()) > 0:
            self._thread.join(min(left, 0.25))
        if self._tensorboard is not None:
            self._tensorboard.close()
        logging.getLogger("ardm").removeHandler(self._handler)
        self._handler.close()
        self._folder.cleanup()

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Note a value of a step for TensorBoard; one that is not finite leaves a gap."""
        if math.isfinite(value):
            self._scalars.put((tag, value, step, time.time()))

    def put(self, kind: str, name: str, data: bytes) -> None:
        """Write a picture; a fault of the store costs the picture and a warning."""
        try:
            self._run.store.write(self._run.file(kind, name), data)
        except Exception as error:  # every file system has errors of its own
            log.warning("%s/%s could not be written (%s)", kind, name, error)

    def _beats(self) -> None:
        pause = BEAT_LOCAL if self._run.store.is_local else BEAT_REMOTE
        news = self._ledger.news
        while not self._ended.wait(min(BREATH, pause)):
            news.wait(max(pause - BREATH, 0.0))
            news.clear()
            self._beat()
        pause = BACK_OFF
        while not self._beat() and (left := self._last.left()) > 0:
            time.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_BACK_OFF)

    def _beat(self) -> bool:
        """Do each part, whatever becomes of the others; whether all of them succeeded."""
        failed = 0
        for part in self._parts():
            try:
                part()
            except Exception as error:  # told at the next beat; training must not end for it
                failed += 1
                log.debug("the store does not answer (%s)", error)
        return not failed

    def _parts(self) -> Iterator[Callable[[], None]]:
        """What matters most comes first: the last beat may be cut off."""
        yield self._ledger.flush
        yield self._tell_progress
        if not self._ended.is_set():
            yield self._hear_stop
            yield self._hear_newer
        yield self._write_scalars
        for folder, _, names in os.walk(self._folder.name):
            for path in (Path(folder) / name for name in names):
                yield partial(self._upload, path)

    def _tell_progress(self) -> None:
        progress = self._progress() | {"time": round(time.time(), 3)}
        data = strict_json.dumps(progress).encode()
        self._run.store.write(self._run.progress(self._number), data)

    def _hear_stop(self) -> None:
        names = self._run.store.names(self._run.attempts_dir)
        request = self._run.stop_request(self._number).rsplit("/", 1)[-1]
        self.stop_requested = request in names

    def _hear_newer(self) -> None:
        self.superseded_by = attempt.newer(self._run, self._number)

    def _write_scalars(self) -> None:
        """Bring what was noted into the event file."""
        if self._scalars.empty():
            return
        if self._tensorboard is None:
            # It takes a second to start, for which no step should wait.
            from tensorboardX import SummaryWriter

            folder = Path(self._folder.name) / "tensorboard" / f"{self._number:06d}"
            self._tensorboard = SummaryWriter(str(folder))
        while not self._scalars.empty():
            self._tensorboard.add_scalar(*self._scalars.get())
        self._tensorboard.flush()

    def _upload(self, path: Path) -> None:
        """The log or an event file, whole, whenever it has grown."""
        size = path.stat().st_size
        if size and size != self._sizes.get(path):
            name = path.relative_to(self._folder.name)
            self._run.store.write(f"{self._run.name}/{name}", path.read_bytes())
            self._sizes[path] = size


def _log_to(path: Path) -> logging.Handler:
    path.parent.mkdir(parents=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("ardm").addHandler(handler)
    return handler
