import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, jax, jax.numpy as jnp
from ardm.runs.compilation import share_cache
from ardm.runs.store import Store
folder = share_cache(Store(sys.argv[1]))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: jnp.sin(x @ x) + 1)(jnp.ones((4, 4)))
print(folder)
"""


def compile_something(store: Path, **environment: str) -> Path:
    """Have a process of its own compile; where it keeps what it compiled."""
    free = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMP")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store)],
        capture_output=True, text=True, check=True, timeout=120, env=free | environment,
    )  # fmt: skip
    return Path(done.stdout.strip())


def kept(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name.endswith("-cache")}


def test_a_second_process_finds_what_the_first_one_compiled_beside_the_runs(tmp_path):
    folder = compile_something(tmp_path)
    assert folder.parent == tmp_path / "_shared" / "jax-cache"
    first = kept(folder)
    assert first
    assert compile_something(tmp_path) == folder
    assert kept(folder) == first


def test_a_place_named_in_the_environment_is_taken(tmp_path):
    named = tmp_path / "named"
    found = compile_something(tmp_path / "runs", JAX_COMPILATION_CACHE_DIR=str(named))
    assert found == named
    assert kept(named)
