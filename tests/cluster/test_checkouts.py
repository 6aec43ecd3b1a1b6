"""Two checkouts on one machine share the local Ray; each job runs the code that submitted it."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import ardm
from ardm.cluster import local
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.cluster.conftest import TINY, Ardm

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

SHORT = ("--follow", "--set", "training.steps=40")
ODD = "My Drive [1];touch pwned & $x 'q'"

MARK = """
import pathlib, psutil
with pathlib.Path({marks!r}).open("a") as file:
    file.write(psutil.Process().cmdline()[0].partition(".")[0] + "\\n")
"""


def checkout(folder: Path, marks: Path) -> Path:
    """Make another checkout, whose workers write to `marks`; returns its command line."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    (packages,) = (folder / ".venv" / "lib").glob("python*/site-packages")
    shutil.copytree(Path(ardm.__file__).parent, packages / "ardm")
    # All else is that of this environment.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    with (packages / "ardm" / "runner" / "attempt.py").open("a") as file:
        file.write(MARK.format(marks=str(marks)))
    script = folder / ".venv" / "bin" / "ardm"
    python = shlex.quote(str(script.with_name("python")))
    main = shlex.quote("from ardm.cli.main import main; main()")
    script.write_text(f'#!/bin/sh\nexec {python} -c {main} "$@"\n')
    script.chmod(0o755)
    return script


def test_a_ray_started_in_an_odd_directory_runs_the_code_of_each_job(tmp_path, monkeypatch):
    monkeypatch.setenv("ARDM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    store, marks = tmp_path / ODD / "runs", tmp_path / "marks"
    theirs = checkout(tmp_path / ODD, marks)
    job = shutil.copy(TINY, tmp_path / ODD / "a & b.yaml")
    try:
        subprocess.run(
            [theirs, "submit", job, "--store", store, "--run", "theirs", *SHORT],
            check=True, cwd=tmp_path, env=dict(os.environ), timeout=600,
        )  # fmt: skip
        seen = marks.read_text().splitlines()
        assert any(title.startswith("ray::") for title in seen)
        here = Ardm(str(store))
        here("submit", str(TINY), "--run", "ours", *SHORT)
        assert marks.read_text().splitlines() == seen
    finally:
        ended = local.stop()
    assert ended
    claims = [Run(Store(str(store)), name).claim(1) for name in ("theirs", "ours")]
    assert all(Store(str(store)).read_record(claim) for claim in claims)
    assert here.status("theirs")["digest"] == here.status("ours")["digest"]
    assert not list(tmp_path.rglob("pwned"))
