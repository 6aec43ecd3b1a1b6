"""What the bits of a result depend on besides the job: device, compiler, versions, data."""

import hashlib
import os
import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax

import ardm

Environment = dict[str, Any]
"""A JSON value for each of `KEYS`. A missing key is unknown, and equals every value."""

KEYS = (
    "device",
    "instruction_set",
    "xla_flags",
    "jax_settings",
    "python",
    "ardm",
    "libraries",
    "data",
)

_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain", "ml-dtypes")
_GPU_LIBRARIES = re.compile(r"jax-(cuda|rocm)\d+-(pjrt|plugin)|nvidia-(cublas|cudnn)(-cu\d+)?")

_ARITHMETIC = re.compile(
    r"(sse|ssse|avx|fma|f16c|amx|bmi|abm|popcnt|movbe|gfni|vaes|vpclmul)\w*"
    r"|(asimd|sve|sme(?!p)|fphp|fcma|bf16|i8mm|atomics|dotprod)\w*"
)
"""The flags in /proc/cpuinfo of instructions that a compiler uses for arithmetic. The other flags
differ with every kernel and hypervisor."""

_NO_BITS = re.compile(
    r"--xla_(dump|hlo_(dump|graph|profile)|detailed_logging|log|vlog|slow_operation|force_host"
    r"_platform_device_count|gpu_cuda_data_dir|gpu_(per_fusion|kernel)\w*cache\w*|\w*_log_level)\w*"
)
"""Flags of XLA without effect on bits: where to write, what to log, how many devices a CPU has."""

_SETTINGS = (
    "jax_enable_x64",
    "jax_explicit_x64_dtypes",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_threefry_gpu_kernel_lowering",
    "jax_random_seed_offset",
    "jax_high_dynamic_range_gumbel",
    "jax_numpy_dtype_promotion",
    "jax_allow_f16_reductions",
    "jax_softmax_custom_jvp",
    "jax_use_direct_linearize",
    "jax_use_shardy_partitioner",
    "jax_disable_jit",
    "jax_disable_most_optimizations",
    "jax_optimization_level",
    "jax_exec_time_optimization_effort",
    "jax_memory_fitting_effort",
    "jax_memory_fitting_level",
    "jax_compiler_enable_remat_pass",
    "jax_enable_pgle",
    "eager_constant_folding",
)
_VARIABLES = (
    "NPROC",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_MAX_CPU_ISA",
    "LIBTPU_INIT_ARGS",
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
)
"""Environment variables that act below JAX; `NPROC` is the size of XLA's thread pool on a CPU."""


def environment(data: str | None = None) -> Environment:
    """What the results of this process depend on besides the job, as a JSON value.

    Args:
        data: `Dataset.sha256`; None if no data have been read.
    """
    device = jax.local_devices()[0]
    here: Environment = {
        "device": f"{device.platform}:{device.device_kind}",
        "xla_flags": xla_flags(os.environ.get("XLA_FLAGS", "")),
        "jax_settings": _jax_settings(),
        "python": platform.python_version(),
        "ardm": f"{version('ardm')} ({_code()})",
        "libraries": _libraries(device.platform),
    }
    if device.platform == "cpu":
        here["instruction_set"] = instruction_set()
    return here if data is None else here | {"data": data}


def xla_flags(text: str) -> dict[str, str]:
    """The flags of `XLA_FLAGS` that may affect bits, by name, whatever their order.

    Args:
        text: the variable's value: flags, or the name of a file that holds them.
    """
    if text.strip() and not text.lstrip().startswith("-"):
        try:
            text = Path(text.strip()).read_text(encoding="utf-8")
        except OSError:
            return {"file": text.strip()}
    flags = {}
    for flag in shlex.split(text):
        name, equals, value = flag.partition("=")
        if not _NO_BITS.fullmatch(name):
            # If a flag is given twice, XLA uses the last one.
            flags[name] = value if equals else "true"
    return dict(sorted(flags.items()))


def cpu_flags() -> str:
    """The line of /proc/cpuinfo that lists the features of the CPU; empty if there is none."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return ""
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def instruction_set() -> str:
    """Architecture, first-level data cache and arithmetic instructions of this CPU.

    XLA splits matrix products on a CPU by the size of that cache, which fixes the order of sums.
    """
    names = sorted({flag for flag in cpu_flags().split() if _ARITHMETIC.fullmatch(flag)})
    size = Path("/sys/devices/system/cpu/cpu0/cache/index0/size")
    try:
        level_1 = size.read_text().strip()
    except OSError:
        level_1 = "unknown"
    return " ".join([platform.machine(), f"L1={level_1}", *names])


class Change(NamedTuple):
    """A part of the environment that differs."""

    what: str
    """One of `KEYS`, with the name of the entry if it has entries: `libraries: jax`."""
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.what}: {self.old} -> {self.new}"


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Change]]:
    """The differences of two environments by key; a key that one of them lacks does not count."""
    by_key = {
        key: _differences(key, old[key], new[key]) for key in KEYS if key in old and key in new
    }
    return {key: differences for key, differences in by_key.items() if differences}


def latest_changes(environments: Sequence[Mapping[str, Any]]) -> dict[str, list[Change]]:
    """The latest change of each key that changed from one environment to a later one.

    Args:
        environments: the environments, the oldest first.
    """
    latest: dict[str, list[Change]] = {}
    known: Environment = {}
    for later in environments:
        latest |= changes(known, later)
        known |= {key: later[key] for key in KEYS if key in later}
    return latest


def _differences(key: str, old: Any, new: Any) -> list[Change]:
    if key == "instruction_set" and isinstance(old, str) and isinstance(new, str):
        had, has = set(old.split()), set(new.split())
        gone, come = " ".join(sorted(had - has)), " ".join(sorted(has - had))
        return [Change(key, gone or "less", come or "less")] if had != has else []
    if key == "data":
        return [Change(key, old[:12], new[:12])] if old != new else []
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return [Change(key, str(old), str(new))] if old != new else []
    # Another version of ardm may record other libraries and settings.
    names = sorted(old.keys() | new.keys() if key == "xla_flags" else old.keys() & new.keys())
    return [
        Change(f"{key}: {name}", str(old.get(name)), str(new.get(name)))
        for name in names
        if old.get(name) != new.get(name)
    ]


def _jax_settings() -> dict[str, Any]:
    settings = {name: getattr(jax.config, name, None) for name in _SETTINGS}
    settings |= {name: os.environ.get(name) for name in _VARIABLES}
    plain = (bool, int, float, str, type(None))
    return {
        name: value if type(value) in plain else str(getattr(value, "value", value))
        for name, value in settings.items()
    }


@cache
def _code() -> str:
    """A short digest of the code that trains, since the version changes only with a release."""
    root = Path(ardm.__file__).parent
    total = hashlib.sha256()
    for package in ("data", "model", "training"):
        for path in sorted((root / package).rglob("*.py")):
            total.update(path.read_bytes())
    return total.hexdigest()[:8]


@cache
def _libraries(platform_name: str) -> dict[str, str]:
    names = list(_LIBRARIES)
    if platform_name != "cpu":
        from importlib.metadata import distributions

        all_names = {d.name.lower() for d in distributions() if d.name}
        names += sorted(name for name in all_names if _GPU_LIBRARIES.fullmatch(name))
    return {name: installed for name in names if (installed := _version(name))}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
