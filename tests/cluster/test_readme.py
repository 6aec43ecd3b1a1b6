"""The commands of the README, run by the letter."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def commands(text: str) -> list[str]:
    return re.findall(r"^\$ (make [^#\n]*?)\s*(?:#.*)?$", text, re.MULTILINE)


@pytest.mark.cluster
def test_the_tour(ray_home: Path, tmp_path: Path) -> None:
    tour = README.partition("<!-- tour")[2].partition("\n```\n")[0]
    found = commands(tour)
    assert len(found) >= 5
    store = {"ARDM_STORE": str(tmp_path / "runs")}
    for command in found:
        done = subprocess.run(
            [
                "make",
                "--no-print-directory",
                "-f",
                str(ROOT / "Makefile"),
                *shlex.split(command)[1:],
            ],
            cwd=ROOT,
            env=os.environ | store,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"


def test_every_command_is_a_target_that_takes_it() -> None:
    for command in commands(README):
        subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, check=True, timeout=60)
