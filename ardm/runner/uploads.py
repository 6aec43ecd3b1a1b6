"""Copies the log and the TensorBoard files of an attempt to the store, on a thread of its own.

So the heartbeat never waits for an upload.
"""

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ardm import secrecy
from ardm.filesystem import LARGE
from ardm.store.home import temporary_prefix
from ardm.store.retry import BACK_OFF, LONGEST_BACK_OFF, Deadline
from ardm.store.run_directory import Run
from ardm.trackers.tracker import About, Record

if TYPE_CHECKING:
    from ardm.trackers.tensorboard import TensorBoardFile

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
        self._run, self._number, self._clock = run, number, clock
        self._due = clock() + FIRST
        self._folder = tempfile.TemporaryDirectory(prefix=temporary_prefix())
        self._root = Path(self._folder.name)
        self._log_file = self._root / "logs" / f"{number:06d}.log"
        self._handler = _log_to(self._log_file)
        self._records: SimpleQueue[Record] = SimpleQueue()
        self._first_step, self._about = 0, About(run.name, "", {}, "")
        self._part: TensorBoardFile | None = None
        self._parts: dict[Path, str] = {}
        """All TensorBoard files that are left here, with their names in the store."""
        self._begun = 0
        self._sizes: dict[Path, int] = {}
        self._lock = threading.Lock()
        """Held while TensorBoard's files are written and uploaded."""
        self._deadline = Deadline(0.0)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ardm-uploads", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin(self, first_step: int, about: About) -> None:
        """Say what TensorBoard shows of the run, before the first record.

        Args:
            first_step: the first step of the attempt; what earlier attempts recorded of it and of
                later steps is void.
            about: the run.
        """
        self._first_step, self._about = first_step, about

    def add(self, record: Record) -> None:
        """Add a record to TensorBoard."""
        self._records.put(record)

    def keep_records(self) -> None:
        """Upload TensorBoard's records now; for any thread.

        Raises:
            OSError: the store fails; some file systems raise errors of another class.
        """
        with self._lock:
            self._write_records()
            for path in list(self._parts):
                self._upload_part(path)

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
        log_name = f"logs/{self._log_file.name}"
        done = [_succeeds(partial(self._upload, self._log_file, log_name))]
        with self._lock:
            done.append(_succeeds(self._write_records))
            done += [_succeeds(partial(self._upload_part, path)) for path in list(self._parts)]
        return all(done)

    def _write_records(self) -> None:
        """Write the queued records to the current TensorBoard file."""
        records = []
        with suppress(Empty):
            while True:
                records.append(self._records.get_nowait())
        if records:
            if self._part is None:
                self._part = self._next_part()
            self._part.write(records)
        if self._part and (self._ending.is_set() or self._part.path.stat().st_size >= PART):
            self._part.close()
            self._part = None

    def _next_part(self) -> "TensorBoardFile":
        # Imported here, on a thread: it takes a while, for which no step should wait.
        from ardm.trackers.tensorboard import TensorBoardFile

        is_first, self._begun = not self._begun, self._begun + 1
        folder = self._root / "tensorboard" / f"{self._begun:06d}"
        part = TensorBoardFile(
            folder, self._first_step if is_first else None, self._about if is_first else None
        )
        self._parts[part.path] = f"events.out.tfevents.{self._number:06d}.{self._begun:06d}"
        return part

    def _upload_part(self, path: Path) -> None:
        complete = self._part is None or path != self._part.path
        self._upload(path, f"tensorboard/{self._parts[path]}")
        if complete:
            path.unlink()
            del self._parts[path]

    def _upload(self, path: Path, name: str) -> None:
        """Upload a whole file if it has grown."""
        size = path.stat().st_size
        if size and size != self._sizes.get(path):
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
    handler = secrecy.log_to(logging.FileHandler(path))
    logging.getLogger("ardm").addHandler(handler)
    return handler
