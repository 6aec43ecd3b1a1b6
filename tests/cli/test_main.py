"""The console script, run as a process."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


HANGING = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from ardm.cli.main import main

ThreadPoolExecutor(1).submit(threading.Event().wait)
sys.argv = ["ardm", *sys.argv[1:]]
main()
"""


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HANGING, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_hanging_thread_does_not_keep_the_process_alive():
    done = ended("--help")
    assert done.returncode == 0, done.stderr
    assert "Exit codes" in done.stdout


def test_the_exit_code_is_kept_if_a_thread_hangs(tmp_path):
    done = ended("validate", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert "none.yaml" in done.stderr
