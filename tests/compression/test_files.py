import gzip
import io
import re

import numpy as np
import pytest
from PIL import Image

from ardm.compression import files
from ardm.data.alphabet import Alphabet
from ardm.errors import InputError
from tests.model.tiny import tiny_model, tiny_transformer

BINARY, GRAY, COLOR = (
    tiny_model(4),
    tiny_model(4, classes=256),
    tiny_model(4, channels=3, classes=256),
)
BYTES, LETTERS = tiny_transformer(8, 256), tiny_transformer(8, 27)
RANDOM = np.random.default_rng(2)


def save(path, pixels, mode=None, **options):
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def restored(paths, model, alphabet=None):
    loaded = files.load(paths, model, alphabet)
    return dict(files.contents(loaded.entries, loaded.values, model, alphabet)), loaded


@pytest.mark.parametrize(
    ("model", "pixels"),
    [
        (BINARY, 255 * RANDOM.integers(0, 2, (4, 4), np.uint8)),
        (BINARY, np.zeros((4, 4), np.uint8)),
        (GRAY, RANDOM.integers(0, 256, (4, 4), np.uint8)),
        (COLOR, RANDOM.integers(0, 256, (4, 4, 3), np.uint8)),
    ],
)
def test_the_pixels_of_a_png_come_back(tmp_path, model, pixels):
    path = save(tmp_path / "a.png", pixels)
    found, loaded = restored([path], model)
    assert loaded.values.shape == (1, *model.shape)
    assert loaded.values.max() < model.classes
    back = Image.open(io.BytesIO(found["a.png"]))
    np.testing.assert_array_equal(np.asarray(back.convert(Image.open(path).mode)), pixels)


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize("name", ["digits.idx", "digits.idx.gz"])
def test_the_bytes_of_an_idx_file_come_back(tmp_path, white, name):
    images = white * RANDOM.integers(0, 2, (5, 4, 4), np.uint8)
    images[0, 0, 0] = white
    content = idx(images)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found, loaded = restored([tmp_path / name], BINARY)
    assert found == {"digits.idx": content}
    assert len(loaded.values) == 5


def idx(images):
    return b"\x00\x00\x08\x03" + np.array(images.shape, ">u4").tobytes() + images.tobytes()


@pytest.mark.parametrize("content", [b"", b"x", b"12345678", b"\xff\x00" * 31, b"a\n" * 4 + b"b"])
def test_any_bytes_come_back(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    found, loaded = restored([tmp_path / "a"], BYTES, Alphabet("bytes"))
    assert found == {"a": content}
    assert int(loaded.wanted.sum()) == len(content)


def test_several_files_come_back_under_their_names(tmp_path):
    contents = {"b.txt": b"hello there", "a.txt": b"", "c": b"x" * 16}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found, loaded = restored([tmp_path / name for name in contents], BYTES, Alphabet("bytes"))
    assert found == contents
    assert list(found) == list(contents)
    assert [files.count(entry, BYTES) for entry in loaded.entries] == [2, 0, 2]


def bad(tmp_path, model, make, alphabet=None):
    path = tmp_path / "bad"
    made = make(path)
    if isinstance(made, bytes):
        path.write_bytes(made)
    with pytest.raises(InputError) as caught:
        files.load([path], model, alphabet)
    return str(caught.value)


def png(mode, size=(4, 4)):
    return lambda path: Image.new(mode, size, 3).save(path, "PNG") and None


@pytest.mark.parametrize(
    ("model", "make", "message"),
    [
        (GRAY, png("L", (5, 4)), "expected images of 4x4x1 .* received 4x5x1"),
        (GRAY, png("RGB"), "expected images of 4x4x1 .* received 4x4x3"),
        (COLOR, png("L"), "expected images of 4x4x3 .* received 4x4x1"),
        (GRAY, png("I;16"), "its pixels would not come back as they are"),
        (BINARY, png("L"), "expected images of 2 values, .* received values up to 3"),
        (GRAY, lambda path: b"GIF89a", "expected a PNG, or an IDX file of images"),
        (GRAY, lambda path: b"\x89PNG\r\n\x1a\nrot", "expected a picture that can be restored"),
        (GRAY, lambda path: b"\x00\x00\x08\x03\x00", "expected an IDX file of images"),
        (BINARY, lambda path: idx(np.full((2, 4, 4), 7, np.uint8)), "values up to 7"),
        (BINARY, lambda path: None, "cannot be read"),
    ],
)
def test_what_would_not_come_back_is_refused(tmp_path, model, make, message):
    assert re.search(message, bad(tmp_path, model, make), re.DOTALL)


def test_a_text_outside_of_the_alphabet_is_refused(tmp_path):
    message = bad(tmp_path, LETTERS, lambda path: b"ab\nC", Alphabet("text8"))
    assert "line 1, column 3" in message


def test_all_faults_are_named_together(tmp_path):
    (tmp_path / "x").mkdir()
    save(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    save(tmp_path / "x" / "a.png", np.zeros((4, 4), np.uint8))
    save(tmp_path / "b.png", np.zeros((5, 5), np.uint8))
    paths = [tmp_path / "a.png", tmp_path / "x" / "a.png", tmp_path / "b.png", tmp_path / "c.png"]
    with pytest.raises(InputError) as caught:
        files.load(paths, GRAY, None)
    message = str(caught.value)
    for part in (
        "several files are named a.png",
        "b.png: expected images",
        "c.png: cannot be read",
    ):
        assert part in message
