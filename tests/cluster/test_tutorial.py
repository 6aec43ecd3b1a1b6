"""The tour of the tutorial, run by the letter."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ardm.cluster import local, ports
from tests.cluster.conftest import wait_until

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()


def commands(text: str) -> list[str]:
    return re.findall(r"^\$ (make [^#\n]*?)\s*(?:#.*)?$", text, re.MULTILINE)


@pytest.mark.cluster
def test_the_tour_up_to_the_end_of_our_ray_and_of_nothing_else(
    ray_home: Path, tmp_path: Path
) -> None:
    tour = TUTORIAL.partition("<!-- tour")[2].partition("\n```\n")[0]
    *found, last = commands(tour)
    assert len(found) >= 4
    for command in found:
        make(command, tmp_path)

    address = local.find()
    assert address
    log = ray_home / "node-agent.log"
    assert "watching over" in log.read_text()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert last == "make down"
    make(last, tmp_path)
    assert not ports.answers(address)
    wait_until(lambda: "has ended, and this agent with it" in log.read_text(), 20)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert "no local Ray" in make(last, tmp_path).stderr


def make(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of the tutorial with a store in this folder."""
    done = subprocess.run(
        ["make", "--no-print-directory", *shlex.split(command)[1:]],
        cwd=ROOT,
        env=os.environ | {"ARDM_STORE": str(folder / "runs")},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done
