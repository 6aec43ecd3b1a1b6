"""Checks of a store: what kind it is, and each ability that runs need."""

import os
import time
import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import psutil

from ardm import filesystem
from ardm.doctor.check import Check, Checks, gigabytes
from ardm.doctor.machine import LEAST_DISK, existing
from ardm.errors import ArdmError, in_a_line
from ardm.store import arrays
from ardm.store.store import Store

MOST_SKEW = 5.0
"""Seconds by which the clocks of this machine and of the store may differ."""

MOST_LAG = 10.0
"""Seconds after which a new object must be listed."""

CONTENT = b"ardm"

_KINDS = {"gs": "Google Cloud Storage", "s3": "S3", "az": "Azure Blob Storage"}

_NETWORK = ("nfs", "cifs", "smb", "fuse", "9p", "beegfs", "lustre", "gpfs", "ceph", "glusterfs")
"""Beginnings of the names of file systems that other machines can share."""


_ALONE = "start runs there from one machine at a time"


class _Caveat(Exception):
    """What a store cannot do, although runs work there."""


def store(uri: str) -> Checks:
    """Everything that runs do with their store, each with its own result.

    Args:
        uri: address of the store.
    """
    try:
        opened = Store(uri)
    except ArdmError as error:
        yield Check("store", ok=False, finding=str(error), remedy="name another with --store")
        return
    created = opened.is_local and not Path(opened.root).exists()
    probe = f".doctor-{uuid.uuid4().hex}"
    wrote = True
    try:
        yield from _kind(opened)
        if not opened.is_local:
            yield _credentials(opened)
        wrote = yield from _abilities(opened, probe)
    finally:
        if wrote:  # a store that does not answer would be waited for once more
            _clean(opened, probe, created=created)


def _kind(opened: Store) -> Checks:
    if not opened.is_local:
        scheme = opened.uri.partition("://")[0]
        at = filesystem.emulator(", redirected by ") if scheme == "gs" else ""
        finding = f"{opened.uri}: {_KINDS[scheme]}{at}; any machine with credentials can continue"
        yield Check("store", ok=True, finding=finding)
        return
    kind = _file_system(Path(opened.root))
    shared = kind.startswith(_NETWORK)
    meaning = "other machines that mount it" if shared else "this machine alone"
    yield Check("store", ok=True, finding=f"{opened.uri}: {kind}; runs continue on {meaning}")
    folder = existing(Path(opened.root))
    if not os.access(folder, os.W_OK):
        finding = f"{folder} is read-only for this user"
        remedy = "change its permissions, or name another store"
        yield Check("store: permissions", ok=False, finding=finding, remedy=remedy)
        return
    free = psutil.disk_usage(str(folder)).free
    fits = free >= LEAST_DISK
    remedy = "" if fits else "free some of it: a full disk ends runs"
    yield Check("store: space", fits, f"{gigabytes(free)} are free", remedy)


def _abilities(opened: Store, probe: str) -> Generator[Check, None, bool]:
    """Each ability, in the order in which runs need them; without the first two, no others.

    Returns:
        Whether anything was written.
    """
    if opened.is_local and not os.access(existing(Path(opened.root)), os.W_OK):
        return False
    names = [f"{probe}/{number}" for number in range(3)]
    steps: dict[str, Callable[[], str]] = {
        "write": lambda: _written(opened, names[0]),
        "read": lambda: _read_back(opened, names[0]),
        "exclusive create": lambda: _created_once(opened, names[1]),
        "listing": lambda: _listed(opened, probe, names[2]),
        "clock": lambda: _clock(opened, names[0]),
        "delete": lambda: _deleted(opened, names[0]),
    }
    if opened.is_local:
        steps["renames"] = lambda: _renames(opened)
        steps["arrays"] = lambda: _arrays(opened, probe)
    for name, step in steps.items():
        begin = time.perf_counter()
        try:
            finding = step()
        except _Caveat as caveat:
            yield Check(f"store: {name}", ok=True, finding=str(caveat), remedy=_ALONE)
            continue
        except Exception as error:  # file systems raise errors of many classes
            yield Check(f"store: {name}", ok=False, finding=in_a_line(error), remedy=_remedy(error))
            if name in ("write", "read"):
                return opened.is_local or name == "read"
            continue
        took = time.perf_counter() - begin
        yield Check(f"store: {name}", ok=True, finding=f"{finding} ({1e3 * took:.0f} ms)")
    return True


def _written(opened: Store, name: str) -> str:
    opened.write(name, CONTENT, filesystem.AT_THE_DOOR, lasting=True)
    return "a small object is written"


def _read_back(opened: Store, name: str) -> str:
    if (content := opened.read(name)) != CONTENT:
        raise OSError(f"{len(CONTENT)} bytes were written and {content!r} was read back")
    return "the same bytes come back"


def _created_once(opened: Store, name: str) -> str:
    opened.create(name, CONTENT)
    try:
        opened.create(name, CONTENT)
    except FileExistsError:
        return "an object is created once only, so two attempts never get one number"
    raise _Caveat("an object could be created twice, so two attempts could get one number")


def _listed(opened: Store, folder: str, name: str) -> str:
    opened.names(folder)  # drives remember a listing, and take a new object for absent
    begin = time.monotonic()
    opened.write(name, CONTENT)
    lag = 0.0
    while name.rpartition("/")[2] not in opened.names(folder):
        lag = time.monotonic() - begin
        if lag > MOST_LAG:
            raise OSError(f"an object was written, and not listed within {MOST_LAG:.0f} s")
        time.sleep(0.1)
    if lag:
        raise _Caveat(f"listings lag by about {lag:.1f} s")
    return "a new object is listed at once"


def _clock(opened: Store, name: str) -> str:
    opened.write(name, CONTENT)
    there = opened.fs.modified(opened.path(name)).timestamp()
    skew = there - time.time()
    if abs(skew) > MOST_SKEW:
        direction = "ahead of" if skew > 0 else "behind"
        raise OSError(f"the store's clock is {abs(skew):.0f} s {direction} this machine's")
    return "this machine's clock agrees with the store's"


def _deleted(opened: Store, name: str) -> str:
    opened.remove([name])
    if opened.read(name) is not None:
        raise OSError("an object that was deleted is still there")
    return "a deleted object is gone"


def _renames(opened: Store) -> str:
    if caveat := opened.abilities.caveat():
        raise _Caveat(caveat)
    return "directories appear as a whole"


def _arrays(opened: Store, probe: str) -> str:
    if not opened.takes_whole_trees:
        return "written to a temporary folder first, then copied"
    arrays.check(Path(opened.path(f"{probe}/arrays")))
    return "TensorStore writes arrays in place"


def _remedy(error: Exception) -> str:
    text = str(error)
    if isinstance(error, TimeoutError):
        return f"check the network{filesystem.emulator(' and ')}"
    if isinstance(error, FileNotFoundError):
        return "create the bucket, or name another store"
    if "clock" in text:
        return "set the clock (NTP): leases and ages of attempts go by it"
    return "check permissions and credentials, or name another store"


def _credentials(opened: Store) -> Check:
    """Where the credentials come from; never the credentials themselves."""
    scheme = opened.uri.partition("://")[0]
    file = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if scheme == "gs" and file and not os.path.isfile(file):  # noqa: PTH113  # it may be no path
        return Check(
            "credentials",
            ok=False,
            finding="GOOGLE_APPLICATION_CREDENTIALS is not the path of a file",
            remedy="set it to the path of the file of a service account, or unset it",
        )
    found = {"gs": _google, "s3": _amazon, "az": _azure}[scheme](opened)
    if found is None:
        # A machine in the cloud may have credentials of its own; the write test shows whether.
        remedies = {
            "gs": "run `gcloud auth application-default login`, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to the file of a service account",
            "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            "az": "set AZURE_STORAGE_CONNECTION_STRING, or an account and its key",
        }
        finding = "none were found but those that this machine may have"
        return Check("credentials", ok=True, finding=finding, remedy=remedies[scheme])
    return Check("credentials", ok=True, finding=found)


def _google(opened: Store) -> str | None:
    if host := os.environ.get("STORAGE_EMULATOR_HOST"):
        return f"none are needed: STORAGE_EMULATOR_HOST is set ({host})"
    found: Any = opened.fs.credentials.credentials
    if found is None:  # gcsfs then sends none, which suffices for public buckets
        return None
    account = getattr(found, "service_account_email", None)
    return f"service account {account}" if account else type(found).__module__


def _amazon(opened: Store) -> str | None:
    if names := _set_among("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        return f"from {names}"
    file = Path("~/.aws/credentials").expanduser()
    return f"from {file}" if file.exists() else None


def _azure(opened: Store) -> str | None:
    names = _set_among(
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZURE_CLIENT_ID",
    )
    return f"from {names}" if names else None


def _set_among(*names: str) -> str:
    """The names of the variables that are set, separated by commas."""
    return ", ".join(name for name in names if os.environ.get(name))


def _file_system(path: Path) -> str:
    """The kind of the file system that holds a path."""
    folder = str(existing(path).resolve())
    mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    fitting = [
        (len(point), kind)
        for point, kind in mounts
        if folder == point or folder.startswith(point.rstrip("/") + "/")
    ]
    return max(fitting)[1] if fitting else "directory"


def _clean(opened: Store, probe: str, *, created: bool) -> None:
    try:
        opened.remove_tree(probe)
        if created:  # a store that does not exist yet appears with its first run
            Path(opened.root).rmdir()
    except Exception:  # the checks have reported what does not work
        return
