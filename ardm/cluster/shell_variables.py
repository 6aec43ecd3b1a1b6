"""Which variables of the submitting shell reach a job on this machine, and how.

Ray shows a job's runtime environment to whoever may ask it, and writes it to its logs. So only
variables known to hold no secret are given to it. The others, such as credentials of a store,
travel in a private file, of which Ray sees the path alone.
"""

import fcntl
import json
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from ardm.store.home import private_folder

log = logging.getLogger(__name__)

FILE = "ARDM_ENVIRONMENT_FILE"
"""Variable of a job's processes: the private file with the rest of their variables."""

VISIBLE = frozenset(
    {
        "ARDM_HOME",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT",
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_DEFAULT_MATMUL_PRECISION",
        "JAX_ENABLE_X64",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
        "JAX_PLATFORMS",
        "NO_GCE_CHECK",
        "STORAGE_EMULATOR_HOST",
        "TENSORSTORE_GCS_HTTP_URL",
        "XLA_FLAGS",
    }
)
"""The allow-list: settings that hold no secret, unless one holds a URL with a user and password."""

_PRIVATE = (
    "ARDM_",
    "AWS_",
    "AZURE_",
    "FSSPEC_",
    "GCSFS_",
    "GOOGLE_",
    "JAX_",
    "TENSORSTORE_",
    "XLA_",
)

SWEEP_AFTER = 3600.0
"""Seconds after which a file that no driver holds is removed: a driver may yet have to start."""

_USERINFO = re.compile(r"://[^/\s]*@")

_held: int | None = None


def visible(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that may be given to Ray openly."""
    return {name: value for name, value in environ.items() if _is_visible(name, value)}


def private(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a job needs and that nobody else may see."""
    return {
        name: value
        for name, value in environ.items()
        if (name.startswith(_PRIVATE) or name in VISIBLE)
        and not _is_visible(name, value)
        and name != FILE
    }


def has_credentials(url: str) -> bool:
    """Whether a URL holds a user, as in s3://key:secret@bucket."""
    return bool(_USERINFO.search(url))


def write(submission: str, variables: Mapping[str, str]) -> Path:
    """Write the private file of a submission.

    Args:
        submission: its id, part of the name.
        variables: what `load` will set.
    """
    folder = private_folder("environments")
    descriptor, name = tempfile.mkstemp(".json", f"{submission}-", folder)  # with mode 0600
    with os.fdopen(descriptor, "w") as out:
        json.dump(dict(variables), out)
    return Path(name)


def load(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables of the private file, where this process has one.

    It happens when `ardm.cluster` is imported, before libraries that read them.
    """
    if not (file := environ.get(FILE)):
        return
    try:
        environ.update(json.loads(Path(file).read_text()))
    except (OSError, ValueError, TypeError) as error:
        # A process that starts as its job ends needs it no more.
        log.warning("no variables of the submitting shell: %s cannot be read (%s)", file, error)
    if fsspec := sys.modules.get("fsspec.config"):
        fsspec.set_conf_env(fsspec.conf)  # it read them when it was imported


def hold(environ: Mapping[str, str] = os.environ) -> None:
    """Keep the private file of this process from being swept for as long as the process lives."""
    global _held
    try:
        if file := environ.get(FILE):
            _held = os.open(file, os.O_RDONLY)
            fcntl.flock(_held, fcntl.LOCK_SH)
    except OSError as error:
        log.warning("the private file of this job cannot be locked (%s)", error)


def forget(environ: Mapping[str, str] = os.environ) -> None:
    """Remove the private file of this process, at the end of its job."""
    if file := environ.get(FILE):
        Path(file).unlink(missing_ok=True)


def sweep(now: float | None = None) -> None:
    """Remove the files of jobs whose driver was killed.

    Args:
        now: seconds since 1970; by default by this machine's clock.
    """
    before = (time.time() if now is None else now) - SWEEP_AFTER
    for file in private_folder("environments").glob("*.json"):
        try:
            with file.open() as opened:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if file.stat().st_mtime < before:
                    file.unlink()
        except OSError:  # a driver holds it, or another sweep was faster
            continue


def _is_visible(name: str, value: str) -> bool:
    return name in VISIBLE and not has_credentials(value)
