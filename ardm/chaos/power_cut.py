"""The effects of a power cut: unsynced data is lost, and small files are torn."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ardm.chaos.schedule import PlannedFault
from ardm.store.run_directory import Run
from ardm.store.store import Store

SIZE = 64 * 2**20
"""Size of a disk (bytes)."""

FILES = {
    "claim": r"attempts/\d+\.json",
    "segment": r"events/\d+/[^/]+\.jsonl",
    "progress": r"progress/\d+\.json",
    "summary": r"history/[^/]+\.json",
    "spec": r"job\.yaml",
    "submission": r"submission\.json",
}
"""Regular expressions of the paths of the small files in a run directory, by kind of file."""

_RESOURCE_FORK = bytes.fromhex("00051607 00020000") + bytes(74)
"""The beginning of the file `._NAME` that macOS writes beside each file it copies."""


class Disk:
    """A mounted ext4 file system whose image is a file.

    Args:
        folder: directory for images and mount points.

    Raises:
        OSError: a file system cannot be created or mounted on this machine.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        with self._image.open("wb") as file:
            file.truncate(SIZE)
        _call("mkfs.ext4", "-q", str(self._image))
        self._mount()

    @property
    def root(self) -> Path:
        """The mount point; it changes with each power cut."""
        return self._folder / f"disk-{self._number}"

    def cut_power(self) -> None:
        """Lose all data that is still in memory, and mount what is on the disk at this moment."""
        old, image = self.root, self._image
        self._number += 1
        shutil.copyfile(image, self._image)
        _call("umount", "-l", str(old))
        image.unlink()
        self._mount()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Fill the disk while the block runs."""
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
        """Unmount the disk and remove its image."""
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
    """Damage to a small file.

    Attributes:
        kind: the kind of file, a key of `FILES`.
        path: path of the file in the store.
        how: the damage, one of `schedule.TEARS`.
        pick: a number in [0, 1), the fraction of the file that is left if it is truncated.
    """

    kind: str
    path: str
    how: str
    pick: float

    def __str__(self) -> str:
        verb = {"empty": "emptied", "truncate": "cut off"}.get(self.how, "copied to a stray name")
        return f"{self.path.partition('/')[2]} {verb}"


def choose(run: Run, planned: PlannedFault) -> Tear | None:
    """Choose the file to tear, of the first planned kind of which the run has files.

    Returns:
        The damage; None if the run has no file that can be torn.
    """
    names = sorted(small_files(run))
    for kind in planned.details["files"]:
        matching = of_kind(names, kind)
        if matching:
            path = f"{run.name}/{matching[int(planned.pick * len(matching))]}"
            return Tear(kind, path, planned.details["how"], planned.pick)
    return None


def small_files(run: Run) -> Iterable[str]:
    """The paths, in the run directory, of the files that can be torn."""
    names = run.store.names(run.name)
    yield from (name for name in names if "." in name)
    for folder in ("attempts", "events", "progress", "history"):
        if folder in names:
            yield from (f"{folder}/{name}" for name in run.store.files(f"{run.name}/{folder}"))


def of_kind(names: Sequence[str], kind: str) -> list[str]:
    """Filter paths by kind of file, a key of `FILES`."""
    return [name for name in names if re.fullmatch(FILES[kind], name)]


def tear(store: Store, torn: Tear) -> None:
    """Empty a file, truncate it, or write a file of a similar name beside it."""
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
