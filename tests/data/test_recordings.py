import numpy as np
import pytest

from ardm.data import waves
from ardm.data.config import DataConfig
from ardm.data.dataset import load
from ardm.errors import InputError
from tests.data.test_waves import wav

RATE, LENGTH = 8000, 16


def tone(seed, size=40):
    return np.random.default_rng(seed).integers(-9000, 9000, size).astype(np.int16)


def put(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else wav(content))
    return folder


def read(folder, **options):
    usual = {"dataset": "audio", "source": "files", "rate": RATE, "length": LENGTH}
    return load(DataConfig(path=str(folder), **usual | options))


@pytest.mark.parametrize(("encoding", "classes"), [("mu-law", 256), ("linear", 65_536)])
def test_recordings_become_sequences_of_classes(tmp_path, encoding, classes):
    files = {f"{split}/{n}.wav": tone(n) for n, split in enumerate(("train", "valid", "test"))}
    dataset = read(put(tmp_path, files), encoding=encoding)
    assert (dataset.shape, dataset.classes) == ((LENGTH, 1, 1), classes)
    assert dataset.train.shape == (40 - LENGTH + 1, LENGTH, 1, 1)
    np.testing.assert_array_equal(
        dataset.train[[3]].reshape(-1), waves.encode(tone(0), encoding)[3 : 3 + LENGTH]
    )
    # The last chunk of a held-out recording is filled up with silence.
    assert dataset.valid.shape == (3, LENGTH, 1, 1)
    expected = np.append(waves.encode(tone(1), encoding), [classes // 2] * 8)
    np.testing.assert_array_equal(dataset.valid.reshape(-1), expected)
    assert dataset.as_json()["sizes"] == {"train": 40, "valid": 48, "test": 48}
    assert "samples" in dataset.describe()


def test_a_short_recording_is_filled_up_with_silence(tmp_path):
    files = {f"{split}/a.wav": tone(1, 5) for split in ("train", "valid", "test")}
    files["valid/a.wav"], files["test/a.wav"] = tone(2, 5), tone(3, 5)
    dataset = read(put(tmp_path, files))
    assert dataset.train.shape == (1, LENGTH, 1, 1)
    assert (dataset.train[[0]].reshape(-1)[5:] == 128).all()


def test_without_split_folders_a_tenth_is_held_out_by_name(tmp_path):
    dataset = read(put(tmp_path, {f"{n:02d}.wav": tone(n, LENGTH) for n in range(20)}))
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (17, 1, 2)
    assert "held out by ardm" in dataset.report.origins["test"]


def test_other_rates_are_resampled_and_reported(tmp_path):
    files = {f"{n}.wav": tone(n, 100) for n in range(5)} | {"5.wav": wav(tone(5, 100), 16_000)}
    dataset = read(put(tmp_path, files))
    assert dataset.report.changes == {"from 16000 to 8000 samples per second": 1}


def test_other_files_are_left_out_and_named(tmp_path):
    files = {f"{n}.wav": tone(n, 50) for n in range(5)} | {"README": b"text", "a.mp3": b"ID3"}
    left_out = {one.name: one.reason for one in read(put(tmp_path, files)).report.left_out}
    assert left_out == dict.fromkeys(("README", "a.mp3"), "no WAV file, by its ending")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (wav(np.zeros(9), subtype="FLOAT"), "kind of samples: 1 .*bad.wav .FLOAT"),
        (wav(np.zeros(9, np.int32), subtype="PCM_24"), "PCM_24"),
        (wav(np.zeros((9, 2), np.int16)), "several channels"),
        (wav(np.zeros(0, np.int16)), "no samples"),
        (b"RIFFrot", "damaged WAV file"),
    ],
)
def test_a_recording_that_cannot_be_used_is_named(tmp_path, content, message):
    files = {f"{n}.wav": tone(n, 50) for n in range(5)} | {"bad.wav": content}
    with pytest.raises(InputError, match=message):
        read(put(tmp_path, files))


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a folder of WAV files, found no file"):
        read(tmp_path)
    put(tmp_path, {"a.txt": b"x"})
    with pytest.raises(InputError, match=r"expected a folder of WAV files, received no WAV file"):
        read(tmp_path)


def test_too_few_recordings_are_refused(tmp_path):
    put(tmp_path, {"a.wav": tone(0)})
    with pytest.raises(InputError, match="expected files for each of train, valid and test"):
        read(tmp_path)


def test_the_published_splits_of_sc09(tmp_path):
    files = {f"{word}/{n}.wav": tone(n, 20) for word in ("one", "nine", "cat") for n in range(4)}
    files |= {"validation_list.txt": b"one/1.wav\ncat/1.wav\n", "testing_list.txt": b"nine/2.wav\n"}
    dataset = read(put(tmp_path / "speech", files), dataset="sc09")
    assert (len(dataset.valid), len(dataset.test)) == (2, 2)
    assert dataset.as_json()["sizes"]["train"] == 6 * 20
    reasons = {one.reason for one in dataset.report.left_out}
    assert reasons == {"no digit", "no WAV file, by its ending"}
    (tmp_path / "speech" / "testing_list.txt").unlink()
    with pytest.raises(InputError, match=r"expected the unpacked .* found no testing_list\.txt"):
        read(tmp_path / "speech", dataset="sc09")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0}, "rate"),
        ({"alphabet": "bytes"}, "alphabet: audio holds recordings, which have none"),
        ({"source": "bundled"}, "source: audio is not in the package; give source: files"),
        ({"source": "tfds", "path": None}, "source: tfds has no audio"),
    ],
)
def test_keys_that_do_not_fit_are_refused(options, message):
    usual = {"dataset": "audio", "source": "files", "path": "/x"}
    with pytest.raises(ValueError, match=message):
        DataConfig(**usual | options)
