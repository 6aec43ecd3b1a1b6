import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cluster.conftest import ARDM

pytestmark = pytest.mark.slow


@pytest.fixture
def digits(trained, tmp_path):
    """Three digits as PNG files, in the working directory."""
    from ardm.loading import load

    images, _ = load("trained", trained.store, print).images("test", 3)
    paths = []
    for number, image in enumerate(images):
        paths.append(f"{number}.png")
        Image.fromarray(image[..., 0] * 255).save(tmp_path / paths[-1])
    return paths


def test_pictures_are_compressed_and_restored(here, digits, pulled):
    found = here.json("compress", "trained", *digits, "--out", "x.ardm", "--budget", "5")
    assert (found["run"], found["bytes_out"]) == ("trained", Path("x.ardm").stat().st_size)
    assert found["bits_per_dim"] == pytest.approx(8 * found["bytes_out"] / (3 * 784))
    back = here.json("decompress", str(pulled), "x.ardm", "--to", "out")
    assert back["files"] == [f"out/{name}" for name in digits]
    for name in digits:
        one, two = (np.asarray(Image.open(path).convert("L")) for path in (name, f"out/{name}"))
        np.testing.assert_array_equal(one, two)


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(here, digits, tmp_path):
    here("compress", "trained", digits[0], "--out", "x.ardm", "--budget", "3")
    here("decompress", "trained", "x.ardm", "--to", "out")
    message = here("decompress", "trained", "x.ardm", "--to", "out", code=2).stderr
    assert "0.png exists there; name another directory" in " ".join(message.split())
    damaged = bytearray((tmp_path / "x.ardm").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "y.ardm").write_bytes(damaged)
    message = here("decompress", "trained", "y.ardm", "--to", "other", code=2).stderr
    assert "the file is damaged" in " ".join(message.split())
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compress", "trained", "nothing.png", "--out", "x.ardm"), "nothing.png: cannot be read"),
        (("compress", "trained", "0.png", "--out", "x.zip"), "ends in .ardm"),
        (("compress", "trained", "0.png", "--out", "x.ardm", "--budget", "785"), "choose from 1"),
        (("decompress", "trained", "nothing.ardm", "--to", "out"), "nothing.ardm: cannot be read"),
        (("decompress", "trained", "0.png", "--to", "out"), "expected a file that `ardm compress`"),
        (("decompress", "trained", "0.png", "--to", "0.png"), "expected a directory, received a"),
    ],
)
def test_bad_input_is_refused(here, digits, arguments, message, tmp_path):
    assert message in " ".join(here(*arguments, code=2).stderr.split())
    assert not list(tmp_path.glob("*.ardm"))


def test_a_picture_of_another_size_is_refused_before_anything_starts(here, tmp_path):
    Image.new("L", (32, 28)).save(tmp_path / "wide.png")
    message = here("compress", "trained", "wide.png", "--out", "x.ardm", code=2).stderr
    assert "expected images of 28x28x1" in " ".join(message.split())


def test_a_killed_encoder_leaves_no_file(here, digits, tmp_path):
    command = ["compress", "trained", *digits, "--out", "x.ardm", "--store", here.store]
    process = subprocess.Popen([ARDM, *command, "--orders", "500"], stderr=subprocess.PIPE)
    time.sleep(5)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert not list(tmp_path.glob("*.ardm"))
