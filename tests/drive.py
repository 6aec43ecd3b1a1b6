"""A mounted drive that can do less than a disk, as those of clouds and networks.

`python -m tests.drive SOURCE MOUNT --lag 0.5` shows a directory at another place, where there are
no hard links, symbolic links, modes and locks, no directory can be synced or renamed, a file is
renamed in several steps, and listings lag.
"""

import argparse
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STAT = [
    f"st_{name}" for name in ["mode", "size", "mtime", "ctime", "atime", "nlink", "uid", "gid"]
]
_STATVFS = [
    f"f_{n}" for n in ["bavail", "bfree", "blocks", "bsize", "files", "ffree", "frsize", "namemax"]
]

PATIENCE = 20.0
"""Seconds within which a drive is mounted."""


def why_not() -> str | None:
    """Why no drive can be mounted here; None if one can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    if not (shutil.which("fusermount3") or shutil.which("fusermount")):
        return "install fuse3 (apt-get install fuse3)"
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:
        return f"install libfuse3 (apt-get install libfuse3-3): {error}"
    return None


@contextmanager
def mounted(source: Path, mount: Path, *options: str) -> Iterator[Path]:
    """A drive that shows a directory, in a process of its own, while the block runs."""
    source.mkdir(parents=True, exist_ok=True)
    mount.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.drive", str(source), str(mount), *options]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not mount.is_mount():
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield mount
        finally:
            unmount = shutil.which("fusermount3") or "fusermount"
            subprocess.run([unmount, "-u", "-z", str(mount)], check=False)
            process.terminate()


def _drive(source: Path, lag: float, exclusive: bool) -> Any:
    import mfusepy

    class Drive(mfusepy.Operations):  # type: ignore[misc]
        """Passes on what it can do."""

        use_ns = False

        def __init__(self) -> None:
            self._listed: dict[str, tuple[float, list[str]]] = {}

        def _there(self, path: str) -> str:
            return f"{source}{path}"

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            about = os.lstat(self._there(path))
            return {name: getattr(about, name) for name in _STAT}

        def readdir(self, path: str, fh: int) -> list[str]:
            now = time.monotonic()
            since, names = self._listed.get(path, (-lag, []))
            if now - since >= lag:
                names = [".", "..", *os.listdir(self._there(path))]  # noqa: PTH208
                self._listed[path] = now, names
            return names

        def open(self, path: str, flags: int) -> int:
            return os.open(self._there(path), flags & ~(os.O_EXCL | os.O_CREAT))

        def create(self, path: str, mode: int, fi: Any = None) -> int:
            flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if exclusive else 0)
            return os.open(self._there(path), flags, 0o644)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return os.pread(fh, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            return os.pwrite(fh, data, offset)

        def truncate(self, path: str, length: int, fh: int | None = None) -> int:
            os.truncate(self._there(path), length)
            return 0

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            os.fsync(fh)
            return 0

        def mkdir(self, path: str, mode: int) -> int:
            Path(self._there(path)).mkdir()
            return 0

        def rmdir(self, path: str) -> int:
            Path(self._there(path)).rmdir()
            return 0

        def unlink(self, path: str) -> int:
            Path(self._there(path)).unlink()
            return 0

        def rename(self, old: str, new: str, flags: int = 0) -> int:
            before, after = Path(self._there(old)), Path(self._there(new))
            if before.is_dir():
                raise mfusepy.FuseOSError(errno.ENOTSUP)
            data = before.read_bytes()
            with after.open("wb", buffering=0) as file:
                for half in (data[: len(data) // 2], data[len(data) // 2 :]):
                    file.write(half)
                    time.sleep(0.002)
            before.unlink()
            return 0

        def utimens(self, path: str, times: Any = None) -> int:
            return 0

        def statfs(self, path: str) -> dict[str, Any]:
            about = os.statvfs(self._there(path))
            return {name: getattr(about, name) for name in _STATVFS}

        def _refuse(self, *_: Any) -> Any:
            raise mfusepy.FuseOSError(errno.ENOTSUP)

        link = symlink = chmod = chown = fsyncdir = mknod = setxattr = getxattr = lock = _refuse

    return mfusepy.FUSE(
        Drive(),
        str(options.mount),
        foreground=True,
        nothreads=False,
        allow_other=False,
        entry_timeout=lag,
        attr_timeout=0,
        negative_timeout=lag,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("mount", type=Path)
    parser.add_argument("--lag", type=float, default=0.0)
    parser.add_argument("--not-exclusive", action="store_true")
    options = parser.parse_args()
    _drive(options.source, options.lag, not options.not_exclusive)
