"""Fixtures of all tests: real parts, started once."""

import ctypes
import gc
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from jaxtyping import install_import_hook
from xdist.scheduler import LoadScopeScheduling

from ardm.chaos import emulator as gcs_emulator

# Before JAX is imported: the tests run on one kind of device everywhere.
os.environ["JAX_PLATFORMS"] = "cpu"
# Before gcsfs is imported: else it asks for the kind of every bucket, which takes its time.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
# One cache for all processes of the tests: most of their time would be spent compiling.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parent.parent / ".jax_cache")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# Compiling takes most of the time of these tests; unoptimised and in one piece it takes a third.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
)

# The shapes and types in the signatures are checked at every call.
install_import_hook(["ardm.model", "ardm.training"], "beartype.beartype")

import jax  # noqa: E402
from hypothesis import settings  # noqa: E402

from ardm.training.devices import use_cores  # noqa: E402

pytest_plugins = ["tests.runner.fixtures"]

use_cores(2)
# No deadline: other work on the machine would fail such a test.
EXAMPLES = 1000 if "ARDM_TEST_LONG" in os.environ else 25
settings.register_profile("ardm", deadline=None, max_examples=EXAMPLES)
settings.load_profile("ardm")


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

FULL = 9 * 2**27
"""Bytes that a process of the tests may have before it forgets its compiled programs, each of which
takes more than a megabyte. What a test takes for a while comes on top."""

LEAST = 2**28
"""Bytes by which it may grow in any case."""

GROWTH = 2**26
"""Bytes by which it may grow before its garbage is collected: a training leaves that much."""

LOOK = 0.5
"""Seconds between two looks at the memory of this process."""

room, kept, clean = FULL, 0, 0
"""Bytes that this process may have before it forgets, the least since it gave some back, and what
it had when its garbage was last collected, which takes a second."""

peak, peak_test = 0, "start"
"""The most memory that this process had at the end of a test, and the test that raised it last."""

PEAKS: list[str] = []


WHOLE = ("tests/cluster/", "tests/html/")
"""Folders whose tests share a costly fixture: our local Ray, or runs to look at."""


class Together(LoadScopeScheduling):
    """Keeps in one process what shares costly fixtures: a file, and each folder of `WHOLE`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in WHOLE if file.startswith(folder)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Called by pytest-xdist."""
    return Together(config, log)


@pytest.fixture(autouse=True)
def little_memory(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give back freed memory, and forget compiled programs before they take too much of it."""
    global room, peak, peak_test
    yield
    if _peak() > peak:
        peak, peak_test = _peak(), request.node.nodeid
    if _resident() > kept + GROWTH:
        _trim()
    if _resident() > clean + GROWTH:
        _collect()
    if _resident() > room:
        _forget()
        room = max(FULL, _resident() + LEAST)


def _trim_while_testing() -> None:
    """Give memory back while a test still runs: compiling a step frees more than a gigabyte."""
    global kept
    while True:
        time.sleep(LOOK)
        if (now := _resident()) > kept + 2 * GROWTH:
            _trim()
        else:
            kept = min(kept, now)


threading.Thread(target=_trim_while_testing, daemon=True).start()


@pytest.fixture(scope="module", autouse=True)
def few_maps() -> Iterator[None]:
    """Every compiled program holds some of the memory maps that Linux allows a process (65,530).

    With the programs of all tests in one process, the compiler crashed for want of one more.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_text().splitlines()) > 20_000:
        _forget()


def _forget() -> None:
    """Give back the memory of all compiled programs."""
    jax.clear_caches()
    _collect()


def _collect() -> None:
    """Collect the garbage, and give its memory back."""
    global clean
    gc.collect()
    _trim()
    clean = kept


def _trim() -> None:
    """Give freed memory back to the kernel, now and from now on, whatever a training asked for."""
    global kept
    libc = ctypes.CDLL(None)
    with suppress(AttributeError):  # of glibc alone
        libc.mallopt(_M_MMAP_MAX, 65_536)
        libc.mallopt(_M_TRIM_THRESHOLD, 128 * 2**10)
        libc.malloc_trim(0)
    kept = _resident()


def _resident() -> int:
    """Bytes of memory that this process has."""
    return int(psutil.Process().memory_info().rss)


def pytest_collection_finish() -> None:
    """Called by pytest. What was imported will never be garbage, and is not searched for any."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Called by pytest in every process of the tests."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["peak"] = _described_peak()


def pytest_testnodedown(node: Any) -> None:
    """Called by pytest-xdist when a process of the tests has ended."""
    PEAKS.append(getattr(node, "workeroutput", {}).get("peak", "unknown"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Called by pytest at the end."""
    peaks = "; ".join(PEAKS or [_described_peak()])
    terminalreporter.write_line(f"memory of the processes of the tests, at most: {peaks}")


def _described_peak() -> str:
    return f"{_peak() / 2**30:.1f} GiB (in {peak_test})"


def _peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    """A real GCS server; its settings are in the environment while it runs."""
    with gcs_emulator.serve(gcs_emulator.free_port()) as address, pytest.MonkeyPatch.context() as m:
        for name, value in gcs_emulator.settings(address).items():
            m.setenv(name, value)
        yield address


@pytest.fixture
def bucket(emulator: str) -> str:
    """A new bucket of the emulator, as gs://name."""
    name = f"test-{os.getpid()}-{time.time_ns()}"
    gcs_emulator.make_bucket(emulator, name)
    return f"gs://{name}"


@pytest.fixture(params=["local", "gs"])
def store_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for runs: a directory, and a bucket of the emulator."""
    if request.param == "local":
        return str(tmp_path / "runs")
    return f"{request.getfixturevalue('bucket')}/runs"
