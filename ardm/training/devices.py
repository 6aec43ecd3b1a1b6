"""Lanes: the devices of one process, on which it computes micro-steps side by side.

XLA computes a micro-step on hardly more than one core of a CPU (measured with jax 0.10: 1.2 of
two), because a convolution of its small batch is one thread's work. So a process takes its CPU as
several devices, one for each core, and gives each of them shards of its own.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import jax

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
