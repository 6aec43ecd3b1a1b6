"""What equal bits depend on beside the job: device, instruction set, compiler, versions, data."""

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
"""A JSON value under each of `KEYS`; a key that is missing is unknown, and differs from nothing."""

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
"""Of the flags in /proc/cpuinfo, those of instructions that a compiler takes for numbers; the
others change with every kernel and hypervisor."""

_NO_BITS = re.compile(
    r"--xla_(dump|hlo_(dump|graph|profile)|detailed_logging|log|vlog|slow_operation|force_host"
    r"_platform_device_count|gpu_cuda_data_dir|gpu_(per_fusion|kernel)\w*cache\w*|\w*_log_level)\w*"
)
"""Flags of XLA that say where to write, what to log, or how many devices a CPU is taken for."""

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
    """What this process's results depend on, beside the job, as a JSON value.

    Args:
        data: `Dataset.sha256`; None where no data have been read.
    """
    device = jax.local_devices()[0]
    found: Environment = {
        "device": f"{device.platform}:{device.device_kind}",
        "xla_flags": xla_flags(os.environ.get("XLA_FLAGS", "")),
        "jax_settings": _jax_settings(),
        "python": platform.python_version(),
        "ardm": f"{version('ardm')} ({_code()})",
        "libraries": _libraries(device.platform),
    }
    if device.platform == "cpu":
        found["instruction_set"] = instruction_set()
    return found if data is None else found | {"data": data}


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
            # Of a flag that stands twice XLA takes the last.
            flags[name] = value if equals else "true"
    return dict(sorted(flags.items()))


def cpu_flags() -> str:
    """The line of /proc/cpuinfo that names the features of a CPU; empty where there is none."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return ""
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def instruction_set() -> str:
    """Architecture, first-level data cache and arithmetic instructions of this CPU.

    The matrix products of XLA on a CPU are cut to fit that cache, and sum accordingly.
    """
    names = sorted({flag for flag in cpu_flags().split() if _ARITHMETIC.fullmatch(flag)})
    size = Path("/sys/devices/system/cpu/cpu0/cache/index0/size")
    try:
        level_1 = size.read_text().strip()
    except OSError:
        level_1 = "unknown"
    return " ".join([platform.machine(), f"L1={level_1}", *names])


class Change(NamedTuple):
    """A part of the environment that is not what it was."""

    what: str
    """One of `KEYS`, with the name within it where it has names: `libraries: jax`."""
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.what}: {self.old} -> {self.new}"


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Change]]:
    """What differs between two environments, by key; what one of them does not know is left out."""
    found = {
        key: _differences(key, old[key], new[key]) for key in KEYS if key in old and key in new
    }
    return {key: some for key, some in found.items() if some}


def latest_changes(environments: Sequence[Mapping[str, Any]]) -> dict[str, list[Change]]:
    """For each key that ever changed from one environment to a later one, its latest change.

    Args:
        environments: in the order of time.
    """
    latest: dict[str, list[Change]] = {}
    known: Environment = {}
    for one in environments:
        latest |= changes(known, one)
        known |= {key: one[key] for key in KEYS if key in one}
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
    # Which libraries and settings are recorded may change with a version of ardm.
    names = sorted(old.keys() | new.keys() if key == "xla_flags" else old.keys() & new.keys())
    return [
        Change(f"{key}: {name}", str(old.get(name)), str(new.get(name)))
        for name in names
        if old.get(name) != new.get(name)
    ]


def _jax_settings() -> dict[str, Any]:
    found = {name: getattr(jax.config, name, None) for name in _SETTINGS}
    found |= {name: os.environ.get(name) for name in _VARIABLES}
    plain = (bool, int, float, str, type(None))
    return {
        name: value if type(value) in plain else str(getattr(value, "value", value))
        for name, value in found.items()
    }


@cache
def _code() -> str:
    """A short digest of the code of ardm that trains: its version moves only with a release."""
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

        installed = {d.name.lower() for d in distributions() if d.name}
        names += sorted(name for name in installed if _GPU_LIBRARIES.fullmatch(name))
    return {name: found for name in names if (found := _version(name))}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
