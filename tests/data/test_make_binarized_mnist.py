"""The script that makes the bundled file; its input files are not in the repository."""

import gzip
import hashlib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ardm.data.config import DataConfig
from ardm.data.dataset import load
from ardm.errors import InputError
from tests.data.published import IDX_NAMES, idx_file, random_images, write_idx

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_binarized_mnist.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize("packed", [False, True])
def test_it_makes_what_a_job_reads_from_the_same_files(script, tmp_path, monkeypatch, packed):
    for seed, name in enumerate(IDX_NAMES.values()):
        content = idx_file(random_images(12, (28, 28, 1), seed))
        monkeypatch.setitem(script["IDX_SHA256"], name, hashlib.sha256(content).hexdigest())
        file = tmp_path / (f"{name}.gz" if packed else name)
        file.write_bytes(gzip.compress(content) if packed else content)
    section = DataConfig(source="files", path=str(tmp_path))
    assert script["make"](tmp_path).sha256 == load(section).sha256


def test_another_idx_file_is_refused_with_both_digests(script, tmp_path):
    name = "t10k-images-idx3-ubyte"
    write_idx(tmp_path, *[random_images(12, (28, 28, 1))] * 2)
    expected = script["IDX_SHA256"][name]
    received = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    with pytest.raises(InputError, match=f"{expected}, received {received}"):
        script["make"](tmp_path)


def test_without_the_files_it_says_which_it_wants(tmp_path):
    command = [sys.executable, SCRIPT, tmp_path, "--out", tmp_path / "out.xz"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "train-images-idx3-ubyte" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out.xz").exists()
