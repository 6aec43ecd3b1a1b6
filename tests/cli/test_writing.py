"""Images are written in the format of their suffix, or refused before a checkpoint is read."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ardm.cli import options
from ardm.errors import InputError
from ardm.plots import pictures

pytestmark = pytest.mark.slow


COMMANDS = ("sample", "inpaint", "policy")
QUICK = {
    "sample": ("--num", "1", "--budget", "2"),
    "inpaint": ("--images", "1", "--completions", "1", "--budget", "2"),
    "policy": ("--images", "2", "--budgets", "2"),
}


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let loading a checkpoint, the first slow step of a command, fail the test."""

    def fail(*_: object) -> None:
        raise AssertionError("a checkpoint was read")

    for module in ("results", "budgeting"):
        monkeypatch.setattr(f"ardm.cli.{module}.load_pretrained", fail)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("s.gif", "expected a file name that ends in .png, .jpg, .jpeg, .webp, .bmp, .tif, .tiff"),
        ("s.svg", "got .svg"),
        ("s", "got no suffix"),
        ("s.png.txt", "got .txt"),
        ("nowhere/s.png", "there is no directory nowhere; create it, or name another"),
        ("file/s.png", "there is no directory file"),
        ("folder.png", "expected the name of a file, got a directory or device"),
        ("pipe.png", "expected the name of a file, got a directory or device"),
        ("/proc/s.png", "cannot be written"),
        ("x" * 300 + ".png", "File name too long"),
    ],
)
@pytest.mark.usefixtures("no_work")
def test_a_file_that_cannot_be_written_is_refused_before_a_checkpoint_is_read(
    here, tmp_path, command, path, fault
):
    Path("file").touch()
    Path("folder.png").mkdir()
    os.mkfifo("pipe.png")
    before = sorted(tmp_path.iterdir())
    assert fault in here(command, "trained", *QUICK[command], "--out", path, code=2).stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("path", "fault"), [("c.png", "ends in .gif"), ("no/c.gif", "directory")])
@pytest.mark.usefixtures("no_work")
def test_a_chain_that_cannot_be_written_is_refused_before_a_checkpoint_is_read(here, path, fault):
    assert fault in here("sample", "trained", "--chain", path, code=2).stderr


def test_the_default_file_name_is_checked_before_images_are_drawn(here, monkeypatch):
    monkeypatch.chdir("/proc")
    said = here("sample", "trained", "--num", "100000000", code=2).stderr
    assert "--out trained-24.png: cannot be written" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_writes_the_format_of_the_suffix(here, command):
    result = here.json(command, "trained", *QUICK[command], "--out", "s.JPG")
    assert result["png"] == "s.JPG"
    with Image.open("s.JPG") as picture:
        assert picture.format == "JPEG"


@pytest.mark.parametrize("suffix", options.STILL)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_contains_the_image(tmp_path, suffix, channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, channels))
    png = pictures.grid(images, 256)
    for path in (tmp_path / f"s{suffix}", tmp_path / "s.png"):
        options.write_still(path, png)
    with Image.open(tmp_path / f"s{suffix}") as written, Image.open(tmp_path / "s.png") as original:
        assert written.format == options.STILL[suffix]
        expected = np.asarray(original.convert("RGB"), int)
        off = np.abs(np.asarray(written.convert("RGB"), int) - expected)
    assert off.mean() < 6 if "jp" in suffix else not off.any()


def test_an_image_that_is_too_large_for_a_format_is_reported(tmp_path):
    png = pictures.encode(np.zeros((1, 70_000), np.uint8), "PNG")
    for suffix in (".jpg", ".webp"):
        with pytest.raises(InputError, match=r"cannot be written as .*; use \.png"):
            options.write_still(tmp_path / f"s{suffix}", png)


@pytest.mark.parametrize(
    "options",
    [
        ("--seed", "4294967296"),
        ("--seed", "-1"),
        ("--num", "99999999999999999999"),
        ("--steps", "99999999999999999999"),
        ("--budget", "99999999999999999999"),
    ],
)
@pytest.mark.usefixtures("no_work")
def test_numeric_options_have_bounds(here, options):
    assert f"'{options[0]}'" in here("sample", "trained", *options, code=2).stderr
