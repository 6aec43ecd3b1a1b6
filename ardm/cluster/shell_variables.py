"""The environment variables that a job on this machine gets from the submitting shell.

Ray shows a job's runtime environment to every client, and writes it to its logs. It therefore gets
only variables known to hold no secret. The others, such as credentials of a store, are passed in a
private file, and Ray sees only its path.
"""

import fcntl
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from ardm.secrecy import has_credentials
from ardm.store.home import private_folder

log = logging.getLogger(__name__)

FILE = "ARDM_ENVIRONMENT_FILE"
"""Environment variable of a job's processes: path of the private file with the other variables."""

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
"""The allow-list: variables that hold no secret, unless the value is a URL with a password."""

_PRIVATE = (
    "ARDM_",
    "AWS_",
    "AZURE_",
    "FSSPEC_",
    "GCSFS_",
    "GOOGLE_",
    "JAX_",
    "MLFLOW_",
    "TENSORSTORE_",
    "WANDB_",
    "XLA_",
)

SWEEP_AFTER = 3600.0
"""Seconds after which a file that no driver has locked is removed: its driver may still start."""

_held: int | None = None


def visible(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that may be given to Ray."""
    return {name: value for name, value in environ.items() if _is_visible(name, value)}


def private(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a job needs and that Ray must not see."""
    return {
        name: value
        for name, value in environ.items()
        if (name.startswith(_PRIVATE) or name in VISIBLE)
        and not _is_visible(name, value)
        and name != FILE
    }


def write(submission: str, variables: Mapping[str, str]) -> Path:
    """Write the private file of a submission.

    Args:
        submission: the submission id, which becomes part of the file's name.
        variables: the environment variables that `load` will set.
    """
    folder = private_folder("environments")
    descriptor, name = tempfile.mkstemp(".json", f"{submission}-", folder)  # with mode 0600
    with os.fdopen(descriptor, "w") as out:
        json.dump(dict(variables), out)
    return Path(name)


def load(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables from the private file, if this process has one.

    The import of `ardm.cluster` calls it, before libraries are imported that read the variables.
    """
    if not (file := environ.get(FILE)):
        return
    try:
        environ.update(json.loads(Path(file).read_text()))
    except (OSError, ValueError, TypeError) as error:
        # The file may be gone already: a process that starts while its job ends does not need it.
        log.warning("no variables of the submitting shell: %s cannot be read (%s)", file, error)
    if fsspec := sys.modules.get("fsspec.config"):
        fsspec.set_conf_env(fsspec.conf)  # it read them when it was imported


def hold(environ: Mapping[str, str] = os.environ) -> None:
    """Lock the private file, so that `sweep` does not remove it while this process lives."""
    global _held
    try:
        if file := environ.get(FILE):
            _held = os.open(file, os.O_RDONLY)
            fcntl.flock(_held, fcntl.LOCK_SH)
    except OSError as error:
        log.warning("the private file of this job cannot be locked (%s)", error)


def forget(environ: Mapping[str, str] = os.environ) -> None:
    """Remove the private file at the end of this process's job."""
    if file := environ.get(FILE):
        Path(file).unlink(missing_ok=True)


def sweep(now: float | None = None) -> None:
    """Remove the private files of jobs whose driver was killed.

    Args:
        now: current time (seconds since 1970); default: this machine's clock.
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


@contextmanager
def during(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process while the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
