"""`ardm init`: job files that can be trained at once, for every kind of data."""

import io
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from ardm.cli.main import app
from ardm.data.config import describe
from ardm.job.spec import load
from ardm.model.build import build
from ardm.model.config import faults
from tests.data.test_waves import wav


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def init(*args, code=0):
    done = CliRunner().invoke(app, ["init", *args])
    assert done.exit_code == code, done.output
    return done.stderr


def pictures(height, width, channels=1, count=4):
    folder = Path(f"pictures-{height}-{width}")
    folder.mkdir()
    random = np.random.default_rng(1)
    for number in range(count):
        shape = (height, width, 3) if channels == 3 else (height, width)
        pixels = random.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return str(folder)


@pytest.mark.parametrize(
    ("height", "width", "channels", "patch"),
    [
        (8, 8, 1, 1),
        (28, 28, 1, 1),
        (64, 64, 3, 2),
        (96, 64, 3, 4),
        (33, 35, 1, 1),
        (250, 250, 3, 2),
    ],
)
def test_a_model_is_proposed_that_fits_the_images(height, width, channels, patch):
    said = init("mine", "--data", pictures(height, width, channels))
    assert f"found 4 images; most have {height}x{width} pixels" in said
    spec = load("mine.yaml")
    assert spec.data.shape == (height, width, channels)
    assert spec.model.net.patch == patch
    assert spec.model.output == ("rgb_mixture" if channels == 3 else "categorical")
    assert faults(spec.model, *describe(spec.data)) == []
    build(spec.model, *describe(spec.data))


def test_a_text_of_plain_letters_gets_their_alphabet():
    Path("plain").write_text("it is a truth universally acknowledged " * 500)
    said = init("plain-text", "--data", "plain")
    assert "found a text of 19,500 bytes" in said
    spec = load("plain-text.yaml")
    assert (spec.data.alphabet, spec.data.length) == ("text8", 256)
    assert spec.model.net.kind == "transformer"


def test_texts_with_other_characters_are_read_as_bytes():
    folder = Path("texts")
    folder.mkdir()
    (folder / "a.txt").write_text("Größe! " * 300)
    (folder / "b.txt").write_text("It is.\n" * 300)
    init("bytes", "--data", "texts")
    spec = load("bytes.yaml")
    assert spec.data.alphabet is None
    assert spec.data.length == 64
    assert Path(spec.data.path) == folder.resolve()


def test_recordings_get_their_rate_and_a_length_that_fits():
    folder = Path("sounds")
    folder.mkdir()
    for number in range(4):
        samples = (3000 * np.sin(np.arange(600) / 9)).astype(np.int16)
        (folder / f"{number}.wav").write_bytes(wav(samples, rate=8000))
    (folder / "readme.txt").write_text("spoken")
    init("spoken", "--data", "sounds")
    spec = load("spoken.yaml")
    assert (spec.data.rate, spec.data.length) == (8000, 512)
    assert spec.model.net.kind == "dilated"


TEXT = b"It is a truth universally acknowledged, that a single man in possession... " * 60


def png(size=8, count=0):
    out = io.BytesIO()
    Image.new("L", (size, size), 10 * count).save(out, "PNG")
    return out.getvalue()


def recording(count=0):
    return wav((3000 * np.sin(np.arange(600) / (9 + count))).astype(np.int16), rate=8000)


def folder_of(**files):
    """A folder `data` with numbered files of each kind; `txt=3` makes `0.txt` to `2.txt`."""
    content = {
        "txt": lambda n: TEXT + bytes([65 + n]),
        "png": lambda n: png(8, n),
        "wav": recording,
        "mp3": lambda n: b"ID3\xff\xfb\x90\x00" + bytes([n]) * 999,
        "gap": lambda n: b"",
        "sized": lambda n: png(8 + n),
    }
    folder = Path("data")
    folder.mkdir()
    for kind, count in files.items():
        ending = "png" if kind == "sized" else kind
        for n in range(count):
            (folder / f"{kind}-{n}.{ending}").write_bytes(content[kind](n))
    return str(folder)


@pytest.mark.parametrize(
    ("files", "dataset", "left"),
    [
        ({"txt": 4, "png": 1}, "text", 1),
        ({"txt": 1, "png": 1}, "text", 1),
        ({"txt": 40, "png": 3}, "text", 3),
        ({"txt": 9, "png": 9}, "images", 9),
        ({"png": 9, "txt": 1, "mp3": 2, "gap": 1}, "images", 4),
        ({"wav": 9, "txt": 9}, "audio", 9),
        ({"wav": 3, "png": 12}, "images", 3),
        ({"txt": 3, "mp3": 2}, "text", 2),
    ],
)
def test_of_a_mixed_folder_the_usual_kind_is_proposed_and_can_be_used(files, dataset, left):
    said = init("mixed", "--data", folder_of(**files))
    assert load("mixed.yaml").data.dataset == dataset
    assert f"; {left} other file" in said
    done = CliRunner().invoke(app, ["validate", "mixed.yaml"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "expected images, texts in UTF-8 or WAV files, found no file"),
        ({"mp3": 12}, "found 12 .mp3; convert them"),
        ({"mp3": 12, "txt": 1}, "found 12 .mp3, 1 .txt"),
        ({"gap": 3}, "found 3 .gap"),
        ({"sized": 20}, "expected most of 20 images"),
        ({"png": 1}, "expected"),
        ({"wav": 1}, "expected"),
    ],
)
def test_of_a_folder_that_cannot_be_used_no_job_is_written(files, said):
    assert said in init("none", "--data", folder_of(**files), code=2)
    assert not Path("none.yaml").exists()


def test_of_a_text_in_another_encoding_the_byte_is_named():
    Path("old.txt").write_bytes("Größe und Maß. ".encode("latin-1") * 300)
    said = init("old", "--data", "old.txt", code=2)
    assert "expected a text in UTF-8, received the byte 0xf6 in line 1, column 3" in said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pictures", "text", "sounds"])
def test_a_proposal_can_be_trained(kind, monkeypatch):
    if kind == "pictures":
        data = pictures(16, 16, count=24)
    elif kind == "text":
        Path("data").write_text("it is a truth universally acknowledged that a single man " * 40)
        data = "data"
    else:
        Path("data").mkdir()
        samples = (3000 * np.sin(np.arange(40) / 9)).astype(np.int16)
        for number in range(12):
            (Path("data") / f"{number}.wav").write_bytes(wav(samples, rate=8000))
        data = "data"
    init("short", "--data", data)
    narrow = {"pictures": "channels=8", "text": "width=24", "sounds": "channels=8"}[kind]
    changes = [f"model.net.{narrow}", "training.steps=2", "training.batch_size=4"]
    changes += ["model.net.blocks=1", "training.warmup=0", "evaluation.samples=0"]
    changes += ["evaluation.images=2", "evaluation.final_images=2"]
    options = [part for change in changes for part in ("--set", change)]
    done = CliRunner().invoke(app, ["train", "short.yaml", "--no-progress", *options])
    assert done.exit_code == 0, done.output


def test_a_job_for_the_bundled_digits_is_written_into_the_folder_of_jobs():
    Path("jobs").mkdir()
    (Path("jobs") / "schema.json").write_text("{}")
    assert "binarized MNIST" in init("digits")
    text = Path("jobs/digits.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=schema.json\n# digits: trained on")
    assert load("jobs/digits.yaml").job == "digits"
    assert list(yaml.safe_load(text))[:2] == ["job", "seed"]


def test_nothing_is_overwritten_and_nothing_unusable_is_written():
    Path("mine.yaml").write_text("mine")
    assert "mine.yaml exists" in init("mine", code=2)
    assert Path("mine.yaml").read_text() == "mine"
    assert "expected lower-case letters" in init("../No", code=2)
    Path("empty").mkdir()
    assert "found no file" in init("a", "--data", "empty", code=2)
    Path("short").write_text("too short")
    assert "texts of at least 960 bytes, found 9 bytes" in init("a", "--data", "short", code=2)
    assert init("a", "--data", "absent", code=2)
    assert "no/folder/a.yaml cannot be written" in init("a", "--out", "no/folder/a.yaml", code=2)
    assert not Path("a.yaml").exists()
