"""The recipe of the bundled file; its input files are not in the repository."""

import gzip
import hashlib
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ardm.errors import InputError

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_binarized_mnist.py"


@pytest.fixture(scope="module")
def recipe():
    return runpy.run_path(str(SCRIPT))


def test_probability_is_grey_over_255(recipe):
    grey = np.tile(np.arange(256, dtype=np.uint8), (20_000, 1))
    drawn = recipe["binarize"](grey, np.random.PCG64(1)).mean(axis=0)
    assert drawn[0] == 0
    assert drawn[255] == 1
    expected = np.arange(256) / 255
    standard_error = np.sqrt(expected * (1 - expected) / len(grey))
    assert (np.abs(drawn - expected) <= 5 * standard_error).all()


def test_blocks_continue_one_stream(recipe):
    grey = np.random.default_rng(0).integers(0, 256, (10, 7), dtype=np.uint8)
    whole = recipe["binarize"](grey, np.random.PCG64(3))
    bits = np.random.PCG64(3)
    parts = [recipe["binarize"](block, bits) for block in np.split(grey, 5)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_draws_are_those_of_every_numpy(recipe):
    """Golden: the bundled file can be made anew only as long as this holds."""
    grey = np.full(2**12, 100, np.uint8)
    drawn = np.packbits(recipe["binarize"](grey, np.random.PCG64(0)))
    expected = "36d6c31328b49d8e41f77c2baaa28be04d8f03dae58a8ba1d417c6092498f9e7"
    assert hashlib.sha256(drawn.tobytes()).hexdigest() == expected


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_plain_or_packed(recipe, tmp_path, monkeypatch, suffix):
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)
    content = bytes(16) + images.tobytes()
    monkeypatch.setitem(recipe["IDX_SHA256"], "x", hashlib.sha256(content).hexdigest())
    (tmp_path / f"x{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    np.testing.assert_array_equal(recipe["read_idx"](tmp_path, "x"), images)


def test_another_idx_file_is_refused_with_both_digests(recipe, tmp_path):
    name = "t10k-images-idx3-ubyte"
    (tmp_path / name).write_bytes(b"other")
    expected, received = recipe["IDX_SHA256"][name], hashlib.sha256(b"other").hexdigest()
    with pytest.raises(InputError, match=f"{expected}, received {received}"):
        recipe["read_idx"](tmp_path, name)


def test_without_the_files_it_says_which_it_wants(tmp_path):
    command = [sys.executable, SCRIPT, tmp_path, "--out", tmp_path / "out.xz"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "train-images-idx3-ubyte" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out.xz").exists()
