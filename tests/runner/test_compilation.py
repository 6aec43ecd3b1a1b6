"""Programs kept between processes: found, mended, bounded, and not taken from strangers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ardm.runner.compilation import REST, SUFFIX, ProgramCache
from ardm.store.store import Store

pytestmark = pytest.mark.slow


PROGRAM = """
import sys, jax, jax.numpy as jnp
from ardm.runner.compilation import own_cache, share_cache
from ardm.store.store import Store
folder = own_cache() if sys.argv[1] == "own" else share_cache(Store(sys.argv[1]))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
hits = []
count = lambda event, **_: hits.append(event.endswith("/cache_hits"))
jax.monitoring.register_event_listener(count)
jax.jit(lambda x: jnp.sin(x @ x) + 1)(jnp.ones((4, 4)))
print(folder, sum(hits))
"""


def compile_something(store: Path | str, **environment: str) -> tuple[Path, int]:
    """Have a process of its own compile; where it keeps what it compiled, and what it found."""
    free = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMP")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store)],
        capture_output=True, text=True, check=True, timeout=120, env=free | environment,
    )  # fmt: skip
    assert "Error" not in done.stderr, done.stderr
    folder, hits = done.stdout.split()
    return Path(folder), int(hits)


def kept(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir()}


def test_a_second_process_finds_what_the_first_one_compiled_and_mends_what_was_damaged(tmp_path):
    folder, hits = compile_something(tmp_path)
    assert (folder.parent, hits) == (tmp_path / "_shared" / "jax-cache", 0)
    first = kept(folder)
    assert first
    found, hits = compile_something(tmp_path)
    assert (found, hits, kept(folder)) == (folder, len(first), first)
    for path, whole in first.items():
        path.write_bytes(whole[: len(whole) // 2])
    assert compile_something(tmp_path)[1] == 0
    assert compile_something(tmp_path)[1] == len(first)


def test_a_place_named_in_the_environment_is_taken(tmp_path):
    named = tmp_path / "named"
    found, _ = compile_something(tmp_path / "runs", JAX_COMPILATION_CACHE_DIR=str(named))
    assert found == named
    assert kept(named)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_only_what_this_user_wrote_is_executed(tmp_path):
    home, store = tmp_path / "home", tmp_path / "runs"
    assert compile_something("own", ARDM_HOME=str(home))[0].is_relative_to(home)
    (store / "_shared").mkdir(parents=True)
    (store / "_shared").chmod(0o777)
    assert compile_something(store, ARDM_HOME=str(home))[0].is_relative_to(home)
    (store / "_shared").chmod(0o755)
    os.chown(store / "_shared", 12345, 12345)
    assert compile_something(store, ARDM_HOME=str(home))[0].is_relative_to(home)


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: b"",
        lambda entry: entry[:-1],
        lambda entry: entry[:40] + bytes([entry[40] ^ 1]) + entry[41:],
        lambda entry: b"another file",
    ],
)
def test_a_damaged_entry_is_none_and_is_replaced(store_uri, damage):
    cache = ProgramCache(store_uri)
    cache.put("key", b"a program of some bytes")
    store = Store(store_uri)
    entry = store.read("key" + SUFFIX)
    store.write("key" + SUFFIX, damage(entry))
    assert cache.get("key") is None
    cache.put("key", b"a program of some bytes")
    assert cache.get("key") == b"a program of some bytes"


def test_the_programs_of_all_machines_are_bounded_and_other_files_stay(store_uri):
    shared = f"{store_uri}/_shared/jax-cache"
    for number in range(6):
        ProgramCache(f"{shared}/machine-{number % 2}", shared).put(f"key-{number}", bytes(1000))
    store = Store(shared)
    store.write("machine-0/notes.txt", bytes(5000))
    if store.is_local:
        for number in range(6):
            name = f"machine-{number % 2}/key-{number}{SUFFIX}"
            os.utime(store.path(name), (number, number))
        assert ProgramCache(f"{shared}/machine-0", shared).get("key-0") is not None
    ProgramCache(f"{shared}/machine-0", shared).sweep(limit=2100)
    names = [name for m in (0, 1) for name in store.names(f"machine-{m}")]
    assert "notes.txt" in names
    assert len(names) == 3
    if store.is_local:
        assert "key-0" + SUFFIX in names


def test_a_folder_that_cannot_be_used_costs_one_warning_and_is_tried_again(tmp_path, caplog):
    file, now = tmp_path / "file", [0.0]
    file.write_text("in the way")
    cache = ProgramCache(str(file / "cache"), clock=lambda: now[0])
    for key in ("one", "two"):
        assert cache.get(key) is None
        cache.put(key, b"program")
    assert [r.message.startswith("compiled programs cannot be kept") for r in caplog.records] == [
        True
    ]
    file.unlink()
    cache.put("one", b"program")
    assert not file.exists()
    now[0] = REST
    cache.put("one", b"program")
    assert cache.get("one") == b"program"
