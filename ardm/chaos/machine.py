"""Gives each Ray node small temporary file systems and a clock, as if it ran on its own machine.

The file systems need the right to mount; the clock needs libfaketime. Where one is missing, the
faults that depend on it are left out, with the reason.
"""

import errno
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOM = 256 * 2**20
"""Bytes of a node's temporary folder, and of its `/dev/shm` beside Ray's object store."""

SHARED_MEMORY = Path("/dev/shm")

_FILL, _BLOCK = "ardm-chaos-fills-this", bytes(2**20)

_LIBRARIES = ("lib/*/faketime/libfaketimeMT.so.1", "lib/faketime/libfaketimeMT.so.1")
"""Where a package puts libfaketime, from the directory above that of its command."""

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
    """What the nodes of a cluster get.

    Attributes:
        folder: for the clocks' files and the places where temporary folders are mounted.
        clocks: whether the clock of a node can be stepped.
        rooms: whether the temporary folder and `/dev/shm` of a node can be filled.
        shm_bytes: that Ray's object store takes of `/dev/shm`.
    """

    folder: Path
    clocks: bool = False
    rooms: bool = False
    shm_bytes: int = 0

    def environment(self, number: int) -> dict[str, str]:
        """Variables of the processes of a node."""
        variables: dict[str, str] = {}
        if self.rooms:
            variables["TMPDIR"] = str(self.temporary(number))
        library = faketime() if self.clocks else None
        if library is not None:
            self.step(number, 0.0)
            variables |= _preloaded(library, self._clock(number))
        return variables

    def command(self, number: int, command: Sequence[str]) -> list[str]:
        """The command that starts a node, inside its private file systems if it has any.

        No other process sees these file systems; they vanish with the node's last process.
        """
        if not self.rooms:
            return list(command)
        temporary = self.temporary(number)
        temporary.mkdir(parents=True, exist_ok=True)
        mounts = {temporary: ROOM, SHARED_MEMORY: ROOM + self.shm_bytes}
        return _in_rooms(mounts, command)

    def temporary(self, number: int) -> Path:
        """The temporary folder of a node, as its processes see it."""
        return self.folder / f"tmp-{number}"

    def step(self, number: int, seconds: float) -> None:
        """Set the clock of a node so many seconds ahead of that of the machine."""
        aside = self._clock(number).with_suffix(".new")
        aside.write_text(f"{seconds:+.0f}\n")
        aside.replace(self._clock(number))

    def _clock(self, number: int) -> Path:
        return self.folder / f"clock-{number}"


def fill(pid: int, place: Path) -> int:
    """Leave no room in a file system that a process sees; the number of bytes this took.

    Raises:
        OSError: the process is gone.
    """
    taken = 0
    with (_seen_by(pid, place) / _FILL).open("wb", buffering=0) as file:
        try:
            while True:
                taken += file.write(_BLOCK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return taken


def relieve(pid: int, place: Path) -> None:
    """Give back the room that `fill` has taken; nothing happens if the process is gone."""
    try:
        (_seen_by(pid, place) / _FILL).unlink(missing_ok=True)
    except OSError:
        return


def left_out(kinds: Iterable[str], environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The kinds of faults that this machine does not permit, each with the reason.

    Args:
        kinds: that are wanted.
        environment: of the processes that would be hit.
        folder: for a try.
    """
    tries = {"clock": _clock_fault, "full": _mount_fault}
    reasons = {kind: tries[kind](environment, folder) for kind in kinds if kind in tries}
    return {kind: reason for kind, reason in reasons.items() if reason}


@cache
def faketime() -> Path | None:
    """The library libfaketime, if its command is installed."""
    command = shutil.which("faketime")
    if command is None:
        return None
    above = Path(command).resolve().parent.parent
    return next((path for glob in _LIBRARIES for path in above.glob(glob)), None)


def _clock_fault(environment: Mapping[str, str], folder: Path) -> str:
    """Why the clock of a process cannot be stepped; empty if it can."""
    library = faketime()
    if library is None:
        return "libfaketime is not installed (package faketime)"
    clock = folder / "clock-probe"
    clock.write_text("+0\n")
    preloaded = dict(environment) | _preloaded(library, clock)
    # Version 0.9.10 ends every time.sleep() of Python 3.11 with an error.
    return _fault([sys.executable, "-c", _PROBE, str(clock)], preloaded, "libfaketime fails here")


def _mount_fault(environment: Mapping[str, str], folder: Path) -> str:
    """The reason why private file systems cannot be mounted; empty if they can."""
    if shutil.which("unshare") is None:
        return "the command unshare is not installed"
    place = folder / "mount-probe"
    place.mkdir()
    return _fault(_in_rooms({place: 2**20}, ["true"]), environment, "mounting is not permitted")


def _fault(command: Sequence[str], environment: Mapping[str, str], what: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return f"{what}: {last}" if done.returncode else ""


def _in_rooms(mounts: Mapping[Path, int], command: Sequence[str]) -> list[str]:
    lines = [f'mount -t tmpfs -o size={size} ardm-chaos "{path}"' for path, size in mounts.items()]
    script = " && ".join([*lines, 'exec "$@"'])
    shell = ["sh", "-c", script, "sh"]
    return ["unshare", "--mount", "--propagation", "private", *shell, *command]


def _preloaded(library: Path, clock: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        # Time-outs go by a clock that no step moves, here as on a real machine.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def _seen_by(pid: int, place: Path) -> Path:
    return Path(f"/proc/{pid}/root{place}")
