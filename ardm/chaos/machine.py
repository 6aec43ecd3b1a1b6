"""Gives each Ray node small temporary file systems and a clock, as if it ran on its own machine.

The file systems need the permission to mount; the clock needs libfaketime. If one is missing, the
faults that depend on it are left out, and the reason is reported.
"""

import errno
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILESYSTEM_BYTES = 256 * 2**20
"""Size of a node's temporary folder. Its `/dev/shm` is larger by the size of Ray's object store."""

SHARED_MEMORY = Path("/dev/shm")

_FILL, _BLOCK = "ardm-chaos-fills-this", bytes(2**20)

_LIBRARIES = ("lib/*/faketime/libfaketimeMT.so.1", "lib/faketime/libfaketimeMT.so.1")
"""Paths of libfaketime in the packages of Linux distributions, relative to the parent of the
directory of its command."""

_PROBE = """
import sys, time
before = time.time()
open(sys.argv[1], "w").write("-3600\\n")
begin = time.monotonic()
time.sleep(1.2)
assert 1.0 < time.monotonic() - begin < 60.0, "the monotonic clock was stepped, too"
assert time.time() < before - 3000.0, "the clock was not stepped"
"""


@dataclass(frozen=True)
class Machine:
    """The private file systems and clocks of the nodes of a cluster.

    Attributes:
        folder: directory for the files of the clocks and for the mount points.
        clocks: whether the clock of a node can be stepped.
        filesystems: whether the temporary folder and `/dev/shm` of a node can be filled.
        shm_bytes: size of Ray's object store, which lies in `/dev/shm` (bytes).
    """

    folder: Path
    clocks: bool = False
    filesystems: bool = False
    shm_bytes: int = 0

    def environment(self, number: int) -> dict[str, str]:
        """The environment variables of the processes of a node."""
        variables: dict[str, str] = {}
        if self.filesystems:
            variables["TMPDIR"] = str(self.temporary(number))
        library = faketime() if self.clocks else None
        if library is not None:
            self.step(number, 0.0)
            variables |= _preloaded(library, self._clock(number))
        return variables

    def command(self, number: int, command: Sequence[str]) -> list[str]:
        """Wrap the command that starts a node, so that it runs inside its private file systems.

        No other process sees these file systems; they vanish with the node's last process.
        """
        if not self.filesystems:
            return list(command)
        temporary = self.temporary(number)
        temporary.mkdir(parents=True, exist_ok=True)
        mounts = {
            temporary: FILESYSTEM_BYTES,
            SHARED_MEMORY: FILESYSTEM_BYTES + self.shm_bytes,
        }
        return _in_filesystems(mounts, command)

    def temporary(self, number: int) -> Path:
        """The temporary folder of a node, as its processes see it."""
        return self.folder / f"tmp-{number}"

    def step(self, number: int, seconds: float) -> None:
        """Set the clock of a node `seconds` ahead of the clock of the machine."""
        aside = self._clock(number).with_suffix(".new")
        aside.write_text(f"{seconds:+.0f}\n")
        aside.replace(self._clock(number))

    def _clock(self, number: int) -> Path:
        return self.folder / f"clock-{number}"


def fill(pid: int, place: Path) -> int:
    """Fill the file system at `place`, as the process with this ID sees it.

    Returns:
        The number of bytes that were written.

    Raises:
        OSError: the process is gone.
    """
    written = 0
    with (_seen_by(pid, place) / _FILL).open("wb", buffering=0) as file:
        try:
            while True:
                written += file.write(_BLOCK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return written


def free(pid: int, place: Path) -> None:
    """Free the space that `fill` took; nothing happens if the process is gone."""
    try:
        (_seen_by(pid, place) / _FILL).unlink(missing_ok=True)
    except OSError:
        return


def left_out(kinds: Iterable[str], environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The kinds of faults that cannot be injected on this machine, each with the reason.

    Args:
        kinds: the kinds that are asked for.
        environment: environment variables of the processes that the faults would affect.
        folder: directory for the files of a test.
    """
    checks = {"clock": _clock_fault, "full": _mount_fault}
    reasons = {kind: checks[kind](environment, folder) for kind in kinds if kind in checks}
    return {kind: reason for kind, reason in reasons.items() if reason}


@cache
def faketime() -> Path | None:
    """The path of the library libfaketime; None if its command is not installed."""
    command = shutil.which("faketime")
    if command is None:
        return None
    above = Path(command).resolve().parent.parent
    return next((path for glob in _LIBRARIES for path in above.glob(glob)), None)


def _clock_fault(environment: Mapping[str, str], folder: Path) -> str:
    """The reason why the clock of a process cannot be stepped; empty if it can."""
    library = faketime()
    if library is None:
        return "libfaketime is not installed (package faketime)"
    clock = folder / "clock-probe"
    clock.write_text("+0\n")
    preloaded = dict(environment) | _preloaded(library, clock)
    # With version 0.9.10 every time.sleep() of Python 3.11 raises an error.
    return _fault([sys.executable, "-c", _PROBE, str(clock)], preloaded, "libfaketime fails here")


def _mount_fault(environment: Mapping[str, str], folder: Path) -> str:
    """The reason why private file systems cannot be mounted; empty if they can."""
    if shutil.which("unshare") is None:
        return "the command unshare is not installed"
    place = folder / "mount-probe"
    place.mkdir()
    return _fault(
        _in_filesystems({place: 2**20}, ["true"]), environment, "mounting is not permitted"
    )


def _fault(command: Sequence[str], environment: Mapping[str, str], what: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return f"{what}: {last}" if done.returncode else ""


def _in_filesystems(mounts: Mapping[Path, int], command: Sequence[str]) -> list[str]:
    lines = [f'mount -t tmpfs -o size={size} ardm-chaos "{path}"' for path, size in mounts.items()]
    script = " && ".join([*lines, 'exec "$@"'])
    shell = ["sh", "-c", script, "sh"]
    return ["unshare", "--mount", "--propagation", "private", *shell, *command]


def _preloaded(library: Path, clock: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        # Timeouts use the monotonic clock, which no step moves, here as on a real machine.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def _seen_by(pid: int, place: Path) -> Path:
    return Path(f"/proc/{pid}/root{place}")
