"""File systems and clocks of a node, with real mounts and processes where they are permitted."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from ardm.chaos import machine
from ardm.chaos.machine import Machine

WRITE = """
import pathlib, sys, tempfile
places = [pathlib.Path(tempfile.gettempdir()), pathlib.Path("/dev/shm")]
print(*places, flush=True)
for line in sys.stdin:
    for place in places:
        try:
            (place / "file").write_bytes(bytes(10**6))
        except OSError as error:
            print(error.strerror, end=";")
        else:
            print("written", end=";")
        (place / "file").unlink()
    print(flush=True)
"""


@pytest.fixture
def small_filesystems(tmp_path, monkeypatch):
    """Node 3 has small file systems; a process of it writes to them on request."""
    if reason := machine.left_out(["full"], os.environ, tmp_path):
        pytest.skip(reason["full"])
    monkeypatch.setattr(machine, "FILESYSTEM_BYTES", 4 * 2**20)
    nodes = Machine(tmp_path, filesystems=True)
    process = subprocess.Popen(
        nodes.command(3, [sys.executable, "-c", WRITE]),
        env=os.environ | nodes.environment(3),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield nodes, process
    finally:
        process.kill()
        process.communicate()


def write(process) -> list[str]:
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().strip().strip(";").split(";")


def test_a_full_file_system_of_one_node_does_not_affect_others(small_filesystems):
    nodes, process = small_filesystems
    assert process.stdout.readline().split() == [str(nodes.temporary(3)), "/dev/shm"]
    free = psutil.disk_usage("/dev/shm").free
    assert write(process) == ["written", "written"]
    written = machine.fill(process.pid, nodes.temporary(3))
    assert 3 * 2**20 < written <= machine.FILESYSTEM_BYTES
    assert write(process) == ["No space left on device", "written"]
    machine.fill(process.pid, machine.SHARED_MEMORY)
    assert write(process) == ["No space left on device"] * 2
    assert psutil.disk_usage("/dev/shm").free > free - 2**20
    assert not any(nodes.temporary(3).iterdir())
    for place in (nodes.temporary(3), machine.SHARED_MEMORY):
        machine.free(process.pid, place)
    assert write(process) == ["written", "written"]


def test_freeing_the_space_of_a_process_that_is_gone_does_nothing(small_filesystems):
    nodes, process = small_filesystems
    process.kill()
    process.wait()
    machine.free(process.pid, nodes.temporary(3))
    with pytest.raises(OSError, match=str(process.pid)):
        machine.fill(process.pid, nodes.temporary(3))


def test_a_clock_is_stepped_and_stepped_back(tmp_path):
    if reason := machine.left_out(["clock"], os.environ, tmp_path):
        pytest.skip(reason["clock"])
    nodes = Machine(tmp_path, clocks=True)

    def now() -> float:
        command = [sys.executable, "-c", "import time; print(time.time())"]
        return float(subprocess.check_output(command, env=os.environ | env, text=True))

    env = nodes.environment(0)
    assert abs(now() - time.time()) < 60
    nodes.step(0, -3600.0)
    assert abs(now() + 3600 - time.time()) < 60
    nodes.step(0, 0.0)
    assert abs(now() - time.time()) < 60


def test_kinds_are_left_out_with_the_reason(tmp_path, monkeypatch):
    machine.faketime.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.left_out(["worker", "clock", "full"], os.environ, tmp_path) == {
        "clock": "libfaketime is not installed (package faketime)",
        "full": "the command unshare is not installed",
    }
    machine.faketime.cache_clear()


def test_what_is_installed_but_does_not_work_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib" / "faketime").mkdir(parents=True)
    (tmp_path / "lib" / "faketime" / "libfaketimeMT.so.1").write_bytes(b"no library")
    for name in ("faketime", "unshare"):
        command = tmp_path / "bin" / name
        command.write_text("#!/bin/sh\necho permission denied >&2\nexit 1\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    machine.faketime.cache_clear()
    reasons = machine.left_out(["clock", "full"], os.environ, tmp_path)
    assert reasons["full"] == "mounting is not permitted: permission denied"
    assert reasons["clock"].startswith("libfaketime fails here: ")
    assert "the clock was not stepped" in reasons["clock"]
    machine.faketime.cache_clear()


def test_without_clocks_and_file_systems_a_node_starts_as_it_is(tmp_path):
    assert Machine(tmp_path).command(1, ["ray"]) == ["ray"]
    assert Machine(tmp_path).environment(1) == {}
