"""The console script, run as a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runner.invented import new_run

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


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store with two runs, and another with one."""
    folder = tmp_path_factory.mktemp("stores")
    for store, name in (("here", "digits-1"), ("here", "texts"), ("there", "digits-2")):
        new_run(folder / store, name=name)
    return folder


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("ardm status dig", ["digits-1"]),
        ("ardm status ", ["digits-1", "texts"]),
        ("ardm status --store {}/there dig", ["digits-2"]),
        ("ardm compare texts dig", ["digits-1"]),
        ("ardm compare --store {}/there texts dig", ["digits-2"]),
        ("ardm train job.yaml --run dig", ["digits-1"]),
        ("ardm submit job.yaml --store {}/there --run ", ["digits-2"]),
        ("ardm plan --run t", ["texts"]),
        ("ardm report --store {}/none ", []),
        ("ardm report --store nowhere://x ", []),
        ("ardm stat", ["status"]),
        ("ardm sample --temp", ["--temperature"]),
    ],
)
def test_the_shell_completes_commands_options_and_runs(stores, line, found):
    words = line.format(stores)
    environ = os.environ | {
        "_ARDM_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "ARDM_STORE": f"{stores}/here",
    }
    ardm = Path(sys.executable).with_name("ardm")
    done = subprocess.run([ardm], capture_output=True, text=True, env=environ)
    assert done.stdout.split() == found, done.stderr
