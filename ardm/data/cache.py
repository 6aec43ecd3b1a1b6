"""A shared cache of files: each is published once and read by many processes.

If two processes publish the same file, the second one receives the file of the first, so all
processes use the same bytes. A reader sees either the whole file or no file.
"""

import os
import uuid
from pathlib import Path

from ardm.errors import DataUnreachable, InputError, StoreUnusable
from ardm.filesystem import LARGE, Directory
from ardm.outages import may_pass


def fetch(url: str) -> bytes | None:
    """Read a published file.

    Args:
        url: an fsspec URL or a local path.

    Returns:
        Its bytes; None if no process has published it yet.

    Raises:
        StoreUnusable: the location cannot be read.
        DataUnreachable: its storage does not answer at the moment.
    """
    try:
        place, name = _place(url)
        content: bytes = place.call(place.fs.cat_file, place.path(name), seconds=LARGE)
    except FileNotFoundError:
        return None
    except Exception as error:  # every fsspec backend has exceptions of its own
        raise _unusable(url, "read", error) from error
    return content


def publish(url: str, content: bytes) -> bytes:
    """Publish a file unless another process has already published it.

    Args:
        url: an fsspec URL or a local path; missing local directories are created.
        content: the file's bytes.

    Returns:
        The published bytes: `content`, or those of another process that was faster.

    Raises:
        StoreUnusable: the location cannot be written, or cannot be read afterwards.
        DataUnreachable: its storage does not answer at the moment.
    """
    try:
        place, name = _place(url)
        if place.is_local:
            _create_local(Path(place.path(name)), content)
        else:
            place.call(place.fs.pipe_file, place.path(name), content, mode="create", seconds=LARGE)
    except FileExistsError:
        pass
    except Exception as error:  # every fsspec backend has exceptions of its own
        raise _unusable(url, "write", error) from error
    else:
        return content
    published = fetch(url)
    if published is None:
        raise StoreUnusable(
            f"{url}: another process published this file, and it vanished before it was read; "
            "run again"
        )
    return published


def _place(url: str) -> tuple[Directory, str]:
    """The directory of a file, and its name there."""
    directory, name = os.path.split(url)
    return Directory(directory), name


def _create_local(path: Path, content: bytes) -> None:
    # On local disks pipe_file(mode="create") of fsspec 2026.9 looks for the file and then writes
    # it. So two processes can both succeed, and a third can read half a file. Creating a hard link
    # is atomic and exclusive.
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content)
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:  # a mounted drive without hard links; all processes write equal bytes
            if path.exists():
                raise FileExistsError(path) from None
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _unusable(url: str, verb: str, error: Exception) -> InputError:
    kind = DataUnreachable if may_pass(error) else StoreUnusable
    return kind(
        f"{url}: expected a place that this process can {verb}, received "
        f"{type(error).__name__}: {error}; check the address and the permissions"
    )
