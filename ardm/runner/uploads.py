"""Copies the log and the TensorBoard files of an attempt to the store, on a thread of its own.

So the heartbeat never waits for an upload.
"""

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from ardm.filesystem import LARGE
from ardm.store.home import temporary_prefix
from ardm.store.retry import BACK_OFF, LONGEST_BACK_OFF, Deadline
from ardm.store.run_directory import Run

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

log = logging.getLogger(__name__)

FIRST = 5.0
"""Seconds until the first upload, so that an attempt that is killed early leaves a log, too."""

PAUSE_LOCAL, PAUSE_REMOTE = 10.0, 60.0
"""Seconds between two uploads to a local store, and to a remote one."""

PART = 1_000_000
"""Size in bytes at which a new TensorBoard file begins. A file that has grown is uploaded whole, so
files must not grow for ever."""


class Uploads:
    """Uploads the log and the TensorBoard files of one attempt.

    Args:
        run: the run.
        number: the number of the attempt.
        clock: returns monotonic seconds.
    """

    def __init__(self, run: Run, number: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._due = clock() + FIRST
        self._folder = tempfile.TemporaryDirectory(prefix=temporary_prefix())
        self._root = Path(self._folder.name)
        self._parts_folder = self._root / "tensorboard" / f"{number:06d}"
        self._log_file = self._root / "logs" / f"{number:06d}.log"
        self._handler = _log_to(self._log_file)
        self._records: SimpleQueue[Callable[[SummaryWriter], None]] = SimpleQueue()
        self._tensorboard: SummaryWriter | None = None
        self._parts = 0
        self._sizes: dict[Path, int] = {}
        self._deadline = Deadline(0.0)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ardm-uploads", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Add a value of a step to TensorBoard."""
        now = time.time()
        self._records.put(lambda writer: writer.add_scalar(tag, value, step, now))

    def text(self, tag: str, text: str, step: int) -> None:
        """Add a text of a step, in Markdown, to TensorBoard."""
        now = time.time()
        self._records.put(lambda writer: writer.add_text(tag, text, step, now))

    def end(self, deadline: Deadline) -> None:
        """Begin the last uploads, which are retried until the deadline; returns at once."""
        self._deadline = deadline
        self._ending.set()
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Wait for the last uploads, and clean up."""
        # Not for ever: the thread may hang in a call to the store.
        while self._thread.is_alive() and (left := self._deadline.left()) > 0:
            self._thread.join(min(left, 0.25))
        logging.getLogger("ardm").removeHandler(self._handler)
        self._handler.close()
        self._folder.cleanup()

    def _work(self) -> None:
        while not self._ending.wait(max(self._due - self._clock(), 0.01)):
            self.do_what_is_due()
        pause = BACK_OFF
        while not self._upload_all() and (left := self._deadline.left()) > 0:
            time.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_BACK_OFF)

    def do_what_is_due(self) -> None:
        """Upload the files that have grown, if an upload is due."""
        if self._clock() >= self._due:
            self._upload_all()
            pause = PAUSE_LOCAL if self._run.store.is_local else PAUSE_REMOTE
            self._due = self._clock() + pause

    def _upload_all(self) -> bool:
        """Upload the files that have grown; whether all uploads succeeded."""
        done = [_succeeds(partial(self._upload, self._log_file)), _succeeds(self._write_records)]
        parts = sorted(self._parts_folder.glob("*"))
        done += [_succeeds(partial(self._upload_part, path)) for path in parts]
        return all(done)

    def _write_records(self) -> None:
        """Write the queued values and texts to the current TensorBoard file."""
        if not self._records.empty():
            if self._tensorboard is None:
                self._tensorboard = self._next_part()
            while not self._records.empty():
                self._records.get()(self._tensorboard)
            self._tensorboard.flush()
        if self._tensorboard and (self._ending.is_set() or self._size() >= PART):
            self._tensorboard.close()
            self._tensorboard = None

    def _next_part(self) -> "SummaryWriter":
        # Imported here, on this thread: it takes a second, for which no step should wait.
        from tensorboardX import SummaryWriter

        self._parts += 1
        return SummaryWriter(str(self._parts_folder), filename_suffix=f".{self._parts:06d}")

    def _current(self) -> Path | None:
        """The TensorBoard file that is being written."""
        if self._tensorboard is None:
            return None
        return next(self._parts_folder.glob(f"*.{self._parts:06d}"), None)

    def _size(self) -> int:
        current = self._current()
        return current.stat().st_size if current else 0

    def _upload_part(self, path: Path) -> None:
        complete = path != self._current()
        self._upload(path)
        if complete:
            path.unlink()

    def _upload(self, path: Path) -> None:
        """Upload a whole file if it has grown."""
        size = path.stat().st_size
        if size and size != self._sizes.get(path):
            name = path.relative_to(self._root)
            self._run.store.write(f"{self._run.name}/{name}", path.read_bytes(), LARGE)
            self._sizes[path] = size


def _succeeds(part: Callable[[], None]) -> bool:
    try:
        part()
    except Exception as error:  # retried at the next upload; training must not end because of it
        log.debug("the store does not answer (%s)", error)
        return False
    return True


def _log_to(path: Path) -> logging.Handler:
    path.parent.mkdir(parents=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("ardm").addHandler(handler)
    return handler
