"""The messages of the commands about the images that a job trains on."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ardm.events import kinds
from tests.cli.conftest import STAGED
from tests.runner.setting import events

pytestmark = pytest.mark.slow


LEFT_OUT = [
    "hidden (the name begins with . or __): 1 (.DS_Store)",
    "no image that Pillow reads, by its ending: 1 (desktop.ini)",
    "empty file: 1 (train/empty.png)",
    "damaged: 1 (train/broken.tif (",
    "wrong size: 1 (val/large.webp (9 wide and 8 high))",
]


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def job(tmp_path) -> Path:
    """A job on a folder with images and many other files."""
    random = np.random.default_rng(0)
    for number in range(30):
        folder = tmp_path / "images" / ("train", "val")[number >= 20]
        save(folder / f"{number}.bmp", random.integers(0, 256, (4, 4), np.uint8))
    images = tmp_path / "images"
    (images / ".DS_Store").write_bytes(b"x")
    (images / "desktop.ini").write_bytes(b"x")
    (images / "train" / "empty.png").write_bytes(b"")
    save(images / "train" / "broken.tif", random.integers(0, 256, (4, 4), np.uint8))
    content = (images / "train" / "broken.tif").read_bytes()
    (images / "train" / "broken.tif").write_bytes(content[:-40])
    save(images / "val" / "large.webp", np.zeros((8, 9, 3), np.uint8))
    (images / "test").symlink_to(tmp_path / "far")
    random_test = random.integers(0, 256, (3, 4, 4), np.uint16)
    for number, pixels in enumerate(random_test):
        save(tmp_path / "far" / f"{number}.png", pixels)
    data = "data: {dataset: images, source: files, path: images}\n"
    (tmp_path / "job.yaml").write_text(STAGED + data)
    return tmp_path / "job.yaml"


def require_data_messages(text: str) -> None:
    for part in (
        "train 20 (the user's: train/); valid 10 (the user's: val/); test 3 (the user's: test/)",
        "converted: 3 x 16 bits to 8",
        *(f"left out, {line}" for line in LEFT_OUT),
    ):
        assert part in text


def test_validate_reports_which_images_are_used_and_which_are_not(here, job):
    require_data_messages(here("validate", str(job)).stderr)
    (result,) = here.json("validate", str(job))
    assert result["job"] == "staged"
    report = result["data_report"]
    assert report["sizes"] == {"train": 20, "valid": 10, "test": 3}
    assert sum(group["count"] for group in report["left_out"]) == len(LEFT_OUT)


def test_the_start_of_training_reports_it_too(job, tmp_path):
    ardm = Path(sys.executable).with_name("ardm")
    command = [ardm, "train", job, "--store", "runs", "--no-progress"]
    stderr = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        for line in process.stderr:
            stderr += line
            if "converted:" in line:  # the last message; the training itself is not needed
                process.kill()
    require_data_messages(stderr)


def test_the_event_log_contains_it_too(staged):
    (started,) = events(staged, 1, kinds.Started)
    data = started.data
    assert data["sizes"] == {"train": 49, "valid": 5, "test": 6}
    (group,) = data["left_out"]
    assert (group["count"], group["names"]) == (1, ["desktop.ini"])
    assert data["origins"]["test"] == "held out by ardm: a tenth of all, chosen by file name"


def test_unreachable_images_are_not_checked(here, tmp_path):
    data = "data: {dataset: images, source: files, path: /nowhere, shape: [4, 4, 1]}\n"
    (tmp_path / "job.yaml").write_text(STAGED + data)
    stderr = here("validate", "job.yaml").stderr
    assert "the data cannot be read here, so they are not checked (/nowhere: expected" in stderr
    assert "job staged is valid" in stderr


def test_a_split_without_images_is_refused(here, job, tmp_path):
    (tmp_path / "images" / "test").unlink()
    (tmp_path / "images" / "test").mkdir()
    assert "no image in test/ can be used" in here("validate", str(job), code=2).stderr


def test_conversions_of_an_image_to_complete_are_reported(here):
    save(Path("x.png"), np.eye(28, dtype=np.uint16) * 65535)
    mask = np.zeros((28, 28), np.uint8)
    mask[3:9, 3:9] = 255
    Image.fromarray(mask).quantize(2).save("m.gif")
    options = ("--image", "x.png", "--mask", "m.gif", "--budget", "2", "--completions", "1")
    done = here("inpaint", "trained", *options, "--out", "out.png")
    assert "x.png: converted, 16 bits to 8" in done.stderr
    assert "36 of 784 pixels given" in done.stderr


def test_images_that_cannot_be_converted_are_refused_by_name(here, tmp_path):
    save(Path("float.tif"), np.eye(28, dtype=np.float32))
    frames = [Image.fromarray(np.full((28, 28), shade, np.uint8)) for shade in (0, 90)]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    options = ("--image", "float.tif", "--mask", "moving.gif", "--out", "out.png")
    stderr = here("inpaint", "trained", *options, code=2).stderr
    assert "float.tif: expected a picture, such as a PNG, received: bit depth (floating" in stderr
    assert "moving.gif: expected a picture, such as a PNG, received: animation or" in stderr
    assert not (tmp_path / "out.png").exists()
