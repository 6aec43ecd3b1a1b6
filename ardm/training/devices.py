"""The cores, devices and memory of a process."""

import ctypes
import math
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

THREADS = 4
"""Number of threads in XLA's pool in every process, however many cores the machine has.

XLA splits loops and sums into as many parts as the pool has threads, so the bits of a step depend
on this number. Because it is fixed, they depend neither on the number of cores nor on the number of
devices, which never exceeds it.
"""

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
"""Flag for XLA on GPUs: no atomic sums, and no choice of kernels by timing them at every start.

Without it three starts on an H200 gave three digests (jax 0.11).
"""

PLAIN_FUSIONS = "--xla_cpu_use_fusion_emitters=false"
"""Flag for XLA on CPUs that halves the memory that compiling takes. Compiling also takes less time,
and a step as long as without it.

Compiling `jobs/binmnist.yaml` took 0.9 GB instead of 2.0 GB (jax 0.10). jaxlib 0.10 has the flag,
jaxlib 0.12 does not, and XLA ends the process at an unknown flag.
"""


def cores_here() -> int:
    """The number of cores that this process may use, at least 1; fractions are rounded up."""
    if hasattr(os, "sched_getaffinity"):
        number = len(os.sched_getaffinity(0))
    else:
        number = os.cpu_count() or 1
    return max(1, math.ceil(min(number, quota())))


def quota(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """CPU time that the control groups of this process allow, in cores; infinite without a limit.

    Args:
        cgroups: directory where the file systems of Linux's control groups are mounted.
        own: file that names the control groups of this process.
    """
    limits = [math.inf]
    for line in _text(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:  # version 2
            base, read = cgroups, _version_2
        elif "cpu" in controllers.split(","):
            base, read = cgroups / "cpu", _version_1
        else:
            continue
        # In a container the file may name the group by its path outside; then `folder` is missing.
        folder = base / group.strip("/")
        for ancestor in (folder, *folder.parents):
            with suppress(ValueError, ZeroDivisionError):
                limits.append(read(ancestor))
            if ancestor == base:
                break
    return min(limit for limit in limits if limit > 0)


def _version_2(folder: Path) -> float:
    allowed, period = _text(folder / "cpu.max").split()
    return int(allowed) / int(period)


def _version_1(folder: Path) -> float:
    allowed = int(_text(folder / "cpu.cfs_quota_us"))
    return allowed / int(_text(folder / "cpu.cfs_period_us")) if allowed > 0 else math.inf


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def keep_freed_memory() -> None:
    """Make glibc keep large freed blocks from now on instead of returning them to the kernel.

    XLA on CPU allocates its temporaries anew at every call. Blocks that were returned to the kernel
    then cost page faults (`make bench ONLY=allocator` measures how much). Memory that is free
    already is returned first, so call this after compiling, which frees more than a gigabyte.
    Without glibc this function does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def use_cores(cores: int) -> None:
    """Split the CPU into several JAX devices, and fix settings that XLA derives from the machine.

    It must be called before JAX uses a device; later it has no effect.

    Args:
        cores: number of cores that this process may use.
    """
    # XLA reads the size of its thread pool on CPU from NPROC.
    os.environ["NPROC"] = str(THREADS)
    flags = os.environ.get("XLA_FLAGS", "").split()
    ours = [flag for flag in our_flags() if flag not in flags]
    # The user's flags come last, because XLA takes the last of two equal flags.
    os.environ["XLA_FLAGS"] = " ".join([*ours, *flags])
    # In a notebook JAX may have created its devices already; then these are used.
    with suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(_power_of_two(cores), THREADS))


def our_flags() -> list[str]:
    """The flags that ardm sets, without those that this version of XLA does not know."""
    has_fusion_flag = version("jaxlib").startswith("0.10.")
    return [DETERMINISTIC, PLAIN_FUSIONS] if has_fusion_flag else [DETERMINISTIC]


def use_cpu(cores: int) -> None:
    """Use the CPU only, split into devices by `use_cores`."""
    jax.config.update("jax_platforms", "cpu")
    use_cores(cores)


class Devices:
    """The devices of this process, or the first of them.

    Every program is compiled for each device separately: XLA optimizes a program for several
    devices differently, which gives other bits.

    Args:
        most: largest number of devices to use, a power of two.
    """

    def __init__(self, most: int) -> None:
        devices = jax.local_devices()
        self._devices = devices[: _power_of_two(min(most, len(devices)))]
        # The first call on a device compiles, and threads let the devices compile at the same time.
        self._threads = ThreadPoolExecutor(len(self._devices), thread_name_prefix="ardm-device")

    @property
    def count(self) -> int:
        """The number of devices, a power of two."""
        return len(self._devices)

    def replicate(self, shared: Any) -> list[Any]:
        """Copy a tuple of trees of arrays from the first device to the other ones, for `map`.

        The first device keeps the original: JAX (0.10) takes about 50 microseconds per leaf even
        for a copy to the same device.
        """
        return [shared, *(jax.device_put(shared, device) for device in self._devices[1:])]

    def map(
        self, function: Callable[..., Any], copies: Sequence[Any], parts: Sequence[Any]
    ) -> list[Any]:
        """Compute `function(*shared, *part)` for all parts; each device takes consecutive parts.

        Args:
            function: a jitted function.
            copies: the arguments that all parts share, as `replicate` returns them.
            parts: tuples of host arrays; their number is a multiple of the number of devices.

        Returns:
            The results in the order of the parts, on the first device. The method does not wait for
            them.
        """
        per_device = len(parts) // self.count

        def work(device: int) -> list[Any]:
            own_parts = parts[device * per_device : (device + 1) * per_device]
            return jax.device_put(
                [function(*copies[device], *part) for part in own_parts], self._devices[0]
            )

        results = self._threads.map(work, range(self.count))
        return [result for of_device in results for result in of_device]


def _power_of_two(most: int) -> int:
    """The largest power of two that does not exceed `most`; at least 1."""
    return 1 << (max(most, 1).bit_length() - 1)
