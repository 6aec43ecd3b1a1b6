"""What a power cut leaves: a disk without what was not synced, and torn files."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ardm.chaos.schedule import Planned
from ardm.store.run_directory import Run
from ardm.store.store import Store

SIZE = 64 * 2**20


FILES = {
    "claim": r"attempts/\d+\.json",
    "segment": r"events/\d+/[^/]+\.jsonl",
    "progress": r"progress/\d+\.json",
    "summary": r"history/[^/]+\.json",
    "spec": r"job\.yaml",
    "submission": r"submission\.json",
}
"""Small files of a run directory by what they are, as expressions for their path in it."""

_RESOURCE_FORK = bytes.fromhex("00051607 00020000") + bytes(74)
"""How a file begins that a Mac leaves beside each one it copies."""


class Disk:
    """An ext4 file system in a file, mounted.

    Args:
        folder: for images and mount points.

    Raises:
        OSError: no file system can be made or mounted here.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        with self._image.open("wb") as file:
            file.truncate(SIZE)
        _call("mkfs.ext4", "-q", str(self._image))
        self._mount()

    @property
    def root(self) -> Path:
        """Where it is mounted; another place after each power cut."""
        return self._folder / f"disk-{self._number}"

    def cut_power(self) -> None:
        """Go on with what is on the disk at this moment; what is only in memory is lost."""
        old, image = self.root, self._image
        self._number += 1
        shutil.copyfile(image, self._image)
        _call("umount", "-l", str(old))
        image.unlink()
        self._mount()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room on the disk while the block runs."""
        filler = self.root / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(2**16))
                except OSError:
                    pass
            yield
        finally:
            filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it and remove its image."""
        _call("umount", "-l", str(self.root))
        self._image.unlink()

    @property
    def _image(self) -> Path:
        return self._folder / f"disk-{self._number}.ext4"

    def _mount(self) -> None:
        self.root.mkdir()
        _call("mount", "-o", "loop", str(self._image), str(self.root))


def _call(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise OSError(f"{' '.join(command)}: {error.stderr.strip()}") from error


@dataclass(frozen=True)
class Tear:
    """What is done to a file.

    Attributes:
        kind: of the file.
        path: of the file in the store.
        how: one of `schedule.TEARS`.
        pick: in [0, 1): where it is cut off.
    """

    kind: str
    path: str
    how: str
    pick: float

    def __str__(self) -> str:
        verb = {"empty": "emptied", "truncate": "cut off"}.get(self.how, "copied to a stray name")
        return f"{self.path.partition('/')[2]} {verb}"


def choose(run: Run, planned: Planned) -> Tear | None:
    """The file to tear: the first kind drawn of which the run has any; None if it has none."""
    names = sorted(small_files(run))
    for kind in planned.details["files"]:
        some = of_kind(names, kind)
        if some:
            path = f"{run.name}/{some[int(planned.pick * len(some))]}"
            return Tear(kind, path, planned.details["how"], planned.pick)
    return None


def small_files(run: Run) -> Iterable[str]:
    """Paths in the run directory of the files that can be torn."""
    names = run.store.names(run.name)
    yield from (name for name in names if "." in name)
    for folder in ("attempts", "events", "progress", "history"):
        if folder in names:
            yield from (f"{folder}/{name}" for name in run.store.files(f"{run.name}/{folder}"))


def of_kind(names: Sequence[str], kind: str) -> list[str]:
    """Those of some paths that are files of a kind."""
    return [name for name in names if re.fullmatch(FILES[kind], name)]


def tear(store: Store, torn: Tear) -> None:
    """Empty a file, cut it off, or put a file of a similar name beside it."""
    data = store.read(torn.path)
    if data is None:
        return
    path = PurePosixPath(torn.path)
    match torn.how:
        case "empty":
            store.write(torn.path, b"")
        case "truncate":
            store.write(torn.path, data[: int(torn.pick * len(data))])
        case "copy":
            store.write(str(path.with_name(f"{path.stem} (1){path.suffix}")), data)
        case "shadow":
            store.write(str(path.with_name(f"._{path.name}")), _RESOURCE_FORK)
