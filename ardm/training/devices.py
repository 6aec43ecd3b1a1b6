"""What a process computes with: its cores, its devices, its memory."""

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
"""Threads of XLA's pool in every process, however many cores the machine has.

XLA cuts loops and sums into as many parts, so the bits of a step depend on this number. As it is
fixed, they depend neither on the cores nor on the lanes, of which there are never more.
"""

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
"""For XLA on GPUs: no atomic sums, and no kernel chosen by a race that every start runs anew.

Without it three starts on an H200 gave three digests (jax 0.11).
"""

PLAIN_FUSIONS = "--xla_cpu_use_fusion_emitters=false"
"""For XLA on CPUs: compiling takes half of the memory, and less time; a step takes as long.

Compiling `jobs/binmnist.yaml` took 0.9 GB instead of 2.0 (jax 0.10). jaxlib 0.10 has the flag, and
0.12 has it no more; XLA ends the process at a flag that it does not know.
"""


def cores_here() -> int:
    """How many cores this process may use, at least one; a part of a core counts as one."""
    if hasattr(os, "sched_getaffinity"):
        number = len(os.sched_getaffinity(0))
    else:
        number = os.cpu_count() or 1
    return max(1, math.ceil(min(number, quota())))


def quota(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """Cores' worth of time that the control groups of this process allow; infinite without limit.

    Args:
        cgroups: where the file systems of Linux's control groups are mounted.
        own: the file that names the groups of this process.
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
        # Inside a container the group may be named as it is outside, where nothing is mounted.
        folder = base / group.strip("/")
        for place in (folder, *folder.parents):
            with suppress(ValueError, ZeroDivisionError):
                limits.append(read(place))
            if place == base:
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
    """Have glibc hold on to large blocks from now on instead of returning them to the kernel.

    XLA on CPU takes its temporaries anew at every call; what went back to the kernel costs page
    faults then (`benchmarks/step.py` measures how much). What is free now goes back first, so call
    this after compiling, which frees more than a gigabyte. Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def use_cores(cores: int) -> None:
    """Take the CPU as so many devices, and fix what XLA would choose by the machine it finds.

    Too late, and without effect, once JAX has touched a device.

    Args:
        cores: that this process may keep busy.
    """
    # XLA's own name for the size of its pool on CPU.
    os.environ["NPROC"] = str(THREADS)
    flags = os.environ.get("XLA_FLAGS", "").split()
    ours = [flag for flag in our_flags() if flag not in flags]
    # Before flags of the user's own, of which XLA takes the last.
    os.environ["XLA_FLAGS"] = " ".join([*ours, *flags])
    # In a notebook JAX may have its devices already; then the work is done on those.
    with suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(_power_of_two(cores), THREADS))


def our_flags() -> list[str]:
    """What XLA is asked for, as far as this version of it knows the flags."""
    has_it = version("jaxlib").startswith("0.10.")
    return [DETERMINISTIC, PLAIN_FUSIONS] if has_it else [DETERMINISTIC]


def use_cpu(cores: int) -> None:
    """Compute on the CPU alone, as `use_cores` says."""
    jax.config.update("jax_platforms", "cpu")
    use_cores(cores)


class Devices:
    """Some devices of this process, at most as many as asked for.

    Each device has its own copy of a program, compiled for it alone: a program for all of them is
    optimised in another way than one for one device, and gives other bits.

    Args:
        most: a power of two.
    """

    def __init__(self, most: int) -> None:
        devices = jax.local_devices()
        self._devices = devices[: _power_of_two(min(most, len(devices)))]
        # Threads, because the first call compiles.
        self._threads = ThreadPoolExecutor(len(self._devices), thread_name_prefix="ardm-lane")

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._devices)

    def spread(self, shared: Any) -> list[Any]:
        """Copy a tuple of trees of arrays, which are on the first lane, to the others, for `map`.

        JAX (0.10) takes some 50 microseconds for each leaf, even one that stays where it is.
        """
        return [shared, *(jax.device_put(shared, device) for device in self._devices[1:])]

    def map(
        self, function: Callable[..., Any], copies: Sequence[Any], parts: Sequence[Any]
    ) -> list[Any]:
        """Compute `function(*shared, *part)` for all parts, consecutive ones on the same lane.

        Args:
            function: jitted.
            copies: what all parts share, as `spread` gives it.
            parts: tuples of host arrays, as many as a multiple of the lanes.

        Returns:
            The results in the order of the parts, on the first lane; they are not waited for.
        """
        each = len(parts) // self.count

        def work(lane: int) -> list[Any]:
            some = parts[lane * each : (lane + 1) * each]
            return jax.device_put(
                [function(*copies[lane], *part) for part in some], self._devices[0]
            )

        lanes = self._threads.map(work, range(self.count))
        return [result for lane in lanes for result in lane]


def _power_of_two(most: int) -> int:
    """The largest power of two that is not larger."""
    return 1 << (max(most, 1).bit_length() - 1)
