import os
import subprocess
import sys
import time
from pathlib import Path

from ardm.runs.compilation import share_cache
from ardm.runs.store import Store

PROGRAM = """
import sys, jax, jax.numpy as jnp
from ardm.runs.compilation import share_cache
from ardm.runs.store import Store
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
folder = share_cache(Store(sys.argv[1]))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: jnp.fft.fft(x @ x) + 1)(jnp.ones((4, 4)))
print(folder)
"""


def compile_something(store: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store)],
        capture_output=True, text=True, check=True, timeout=120, env=dict(os.environ),
    )  # fmt: skip
    return Path(done.stdout.strip())


def test_a_second_process_finds_what_the_first_one_compiled(tmp_path):
    folder = compile_something(tmp_path)
    first = {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name.endswith("-cache")}
    assert first
    time.sleep(0.05)
    assert compile_something(tmp_path) == folder
    again = {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name.endswith("-cache")}
    assert again == first


def test_the_cache_lies_beside_the_runs_in_a_folder_of_this_kind_of_machine(shared_store):
    folder = share_cache(Store(shared_store))
    assert folder.startswith(f"{shared_store}/_shared/jax-cache/")
    assert share_cache(Store(shared_store)) == folder
