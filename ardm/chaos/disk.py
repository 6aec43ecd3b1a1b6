"""A small disk of its own, whose power can be cut: an ext4 image behind a loop device."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 64 * 2**20


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
