"""The commands on runs of recordings."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ardm.compression import codec
from ardm.data import waves
from ardm.job.spec import parse
from ardm.runner.attempt import run_attempt
from ardm.runner.context import Context, Notice
from ardm.training.group import Alone
from tests.cli.conftest import Here
from tests.data.test_waves import wav
from tests.runner.setting import opened

pytestmark = pytest.mark.slow

LENGTH, RATE = 16, 8000
JOB = """
job: tiny-sound
data: {dataset: audio, source: files, path: PATH, rate: 8000, length: 16}
model: {net: {kind: dilated, channels: 8, blocks: 2, cycle: 2}, components: 2}
training: {steps: 12, batch_size: 4, grad_shards: 2, warmup: 2, learning_rate: 1e-2}
checkpoint: {interval: 0, keep_last: 3}
evaluation: {every: 1000, images: 4, final_images: 4, samples: 2, sample_steps: 3}
"""


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Runs on recordings as 256 and as 65,536 classes."""
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(12):
        wave = 9000 * np.sin(np.arange(150) * (0.1 + 0.02 * number))
        (folder / f"{number:02d}.wav").write_bytes(wav(wave.astype(np.int16)))
    store = str(tmp_path_factory.mktemp("store") / "runs")
    for encoding, output in (("mu-law", "categorical"), ("linear", "logistic_mixture")):
        changes = [f"data.encoding={encoding}", f"model.output={output}"]
        spec = parse(JOB.replace("PATH", str(folder)), "sound.yaml", changes)
        run = opened(store, encoding, spec)
        assert run_attempt(run, spec, Context(Alone(), Notice())).outcome == "completed"
    return Here(store)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("run", ["mu-law", "linear"])
def test_recordings_and_a_picture_of_them_are_written(sounds, run):
    found = sounds.json("sample", run, "--num", "2", "--budget", "4", "--out", "a.wav")
    assert found["wavs"] == ["a-1.wav", "a-2.wav"]
    for path in found["wavs"]:
        samples, rate, bits = waves.read(Path(path).read_bytes())
        assert (len(samples), rate, bits) == (LENGTH, RATE, 16)
    assert Image.open(found["png"]).size[0] > 600
    short = sounds.json("sample", run, "--num", "1", "--length", "10", "--budget", "4")
    assert len(waves.read(Path(short["wavs"][0]).read_bytes())[0]) == 10


def test_training_leaves_recordings(sounds):
    folder = Path(sounds.store) / "mu-law" / "samples"
    assert sorted(path.name for path in folder.iterdir()) == [
        "00000012-1.wav",
        "00000012-2.wav",
        "00000012.png",
    ]


def test_gaps_are_filled(sounds):
    options = ("--images", "1", "--completions", "2", "--keep", "border", "--budget", "4")
    found = sounds.json("inpaint", "linear", *options, "--out", "b.wav")
    assert found["wavs"] == [f"b-1-{name}.wav" for name in ("original", "given", "1", "2")]
    original, given, one, _ = (waves.read(Path(p).read_bytes())[0] for p in found["wavs"])
    gap = slice(LENGTH // 4, 3 * LENGTH // 4)
    assert (given[gap] == 0).all()
    outside = np.r_[: LENGTH // 4, 3 * LENGTH // 4 : LENGTH]
    np.testing.assert_array_equal(one[outside], original[outside])
    assert not np.array_equal(one[gap], original[gap])


def test_estimates_have_the_unit_of_samples(sounds):
    assert "bits/sample" in sounds("evaluate", "mu-law", "--images", "3").stderr
    assert "bits/sample" in sounds("status", "linear").stdout


def test_a_recording_is_compressed_and_restored(sounds, tmp_path, monkeypatch):
    monkeypatch.setattr(codec, "_MOST_OUTPUTS", 2**22)  # private: a call of users takes seconds
    samples = (3000 * np.sin(np.arange(25) / 5)).astype(np.int16)
    (tmp_path / "a.wav").write_bytes(wav(samples))
    sounds("compress", "linear", "a.wav", "--out", "x.ardm", "--budget", "4")
    sounds("decompress", "linear", "x.ardm", "--to", "out")
    assert (tmp_path / "out" / "a.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()
    message = sounds("compress", "mu-law", "a.wav", "--out", "y.ardm", code=2).stderr
    assert "its samples would not come back as they are" in " ".join(message.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sample", "mu-law", "--length", "17"), "sequences of at most 16 samples"),
        (("sample", "mu-law", "--prompt", "a"), "the model generates recordings, no texts"),
        (("sample", "mu-law", "--out", "a.png"), "ends in .wav"),
        (("sample", "mu-law", "--chain", "a.gif"), "recordings have no picture of it"),
        (("inpaint", "mu-law", "--image", "a.png"), "the model generates recordings; complete"),
    ],
)
def test_options_that_do_not_fit_are_refused(sounds, arguments, message):
    assert message in " ".join(sounds(*arguments, code=2).stderr.split())
