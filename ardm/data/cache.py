"""Files that many processes want and one makes: read them, or publish them exactly once.

Whoever publishes second gets the first one's file, so all processes use the same bytes; and a
file is seen whole or not at all.
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
        Its bytes; None if nobody has published it yet.

    Raises:
        StoreUnusable: the place cannot be read.
        DataUnreachable: it does not answer now.
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
    """Publish a file unless somebody already has.

    Args:
        url: an fsspec URL or a local path; missing local directories are made.
        content: the file's bytes.

    Returns:
        The bytes that are published there: `content`, or those of whoever was faster.

    Raises:
        StoreUnusable: the place cannot be written, or not read afterwards.
        DataUnreachable: it does not answer now.
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
    # Locally pipe_file(mode="create") of fsspec 2026.9 looks first and writes then: two processes
    # can both win, and a third can read half a file. A hard link is atomic and exclusive.
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content)
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:  # a mounted drive without hard links; whoever comes first, the data are one
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
