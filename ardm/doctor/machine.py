"""Checks of this machine: Python, JAX and its devices, memory, disks."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import psutil

from ardm.doctor.check import Check, Checks, gigabytes
from ardm.store.home import home
from ardm.training.devices import cores_here, quota

WORKER_BYTES = 3e9
"""Memory that a worker takes while it trains a small job on a CPU, with compiling."""

LEAST_DISK, LEAST_SHARED = 2e9, 1e9
"""Free bytes below which a disk, or the shared memory, is too full for runs."""

_OLDEST, _NEWEST = (3, 11), (3, 13)

_DEVICES = """
import jax
kinds = [f"{d.platform}:{d.device_kind}" for d in jax.local_devices()]
print(len(kinds), kinds[0], sep="\\t")
"""
_PATIENCE = 120.0
"""Seconds that JAX may take to find its devices."""


def python() -> Checks:
    """The interpreter and its version."""
    here = f"{sys.version.split()[0]} ({sys.executable})"
    fits = _OLDEST <= sys.version_info[:2] <= _NEWEST
    remedy = "" if fits else "make an environment with Python 3.11, 3.12 or 3.13"
    yield Check("python", fits, f"Python {here}, ardm {version('ardm')}", remedy)


def jax() -> Checks:
    """The devices that JAX finds; another process asks, since JAX reserves a GPU's memory."""
    versions = f"jax {version('jax')}, jaxlib {version('jaxlib')}"
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _DEVICES], capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        yield Check(
            "jax",
            ok=False,
            finding=f"{versions}: no device was found within {_PATIENCE:.0f} s",
            remedy="another process may hold the GPU; end it, or set JAX_PLATFORMS=cpu",
        )
        return
    if asked.returncode:
        last = (asked.stderr.strip().splitlines() or ["no message"])[-1]
        yield Check(
            "jax",
            ok=False,
            finding=f"{versions} does not start: {last}",
            remedy="install the locked versions anew (`make setup`), or set JAX_PLATFORMS=cpu",
        )
        return
    number, kind = asked.stdout.strip().splitlines()[-1].split("\t")
    gpus = _nvidia()
    unused = gpus and kind.startswith("cpu:")
    yield Check(
        "jax",
        not unused,
        f"{versions}: {number} x {kind}" + (f", but this machine has {gpus}" if unused else ""),
        "install JAX for CUDA: pip install 'ardm[cuda]'" if unused else "",
    )


def cores() -> Checks:
    """The cores that this process may use."""
    number, allowed = cores_here(), quota()
    limit = f" (a control group allows {allowed:.2g})" if allowed < (os.cpu_count() or 1) else ""
    finding = f"{number} of {os.cpu_count()} cores can be used{limit}"
    remedy = "" if number > 1 else "training works, but slowly: allow two cores or more"
    yield Check("cores", ok=True, finding=finding, remedy=remedy)


def memory() -> Checks:
    """The memory that is free."""
    found = psutil.virtual_memory()
    fits = found.available >= WORKER_BYTES
    yield Check(
        "memory",
        fits,
        f"{gigabytes(found.available)} of {gigabytes(found.total)} are free",
        ""
        if fits
        else f"a worker takes about {gigabytes(WORKER_BYTES)} while it compiles: end other "
        "programs, or add swap",
    )


def disks() -> Checks:
    """The disks that Ray, ardm's own files and temporary files use."""
    places = {
        "temporary files (TMPDIR)": Path(tempfile.gettempdir()),
        "ardm's own files (ARDM_HOME)": home(),
    }
    for what, place in places.items():
        folder = existing(place)
        free, writable = shutil.disk_usage(folder).free, os.access(folder, os.W_OK)
        variable = what.partition("(")[2].rstrip(")")
        remedy = f"set {variable} to a folder on another disk"
        if not writable:
            yield Check("disk", ok=False, finding=f"{what}: {folder} is read-only", remedy=remedy)
            continue
        fits = free >= LEAST_DISK
        finding = f"{what}: {gigabytes(free)} are free in {folder}"
        yield Check("disk", fits, finding, "" if fits else f"free some of it, or {remedy}")


def existing(path: Path) -> Path:
    """A path, or the nearest of its parents that exists."""
    return next(one for one in (path, *path.parents) if one.exists())


def shared_memory() -> Checks:
    """The shared memory, in which Ray keeps objects."""
    place = Path("/dev/shm")
    if not place.is_dir():
        finding = "this system has no /dev/shm; Ray uses temporary files instead"
        yield Check("/dev/shm", ok=True, finding=finding)
        return
    free = shutil.disk_usage(place).free
    fits = free >= LEAST_SHARED
    yield Check(
        "/dev/shm",
        fits,
        f"{gigabytes(free)} are free",
        "" if fits else "start the container with --shm-size=2g (Docker's default is 64 MB)",
    )


def _nvidia() -> str:
    """The NVIDIA cards of this machine; empty if there are none."""
    if shutil.which("nvidia-smi") is None:
        return ""
    try:
        asked = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20.0,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    names = asked.stdout.strip().splitlines() if asked.returncode == 0 else []
    return f"{len(names)} x {names[0]}" if names else ""
