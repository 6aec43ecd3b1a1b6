import io
import lzma
import zipfile

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardm.data import bundled_text, sequences, texts
from ardm.data.alphabet import Alphabet
from ardm.data.config import DataConfig
from ardm.data.dataset import load
from ardm.data.provenance import Report
from ardm.errors import InputError


def of_files(path, length=8, **options):
    return load(
        DataConfig(dataset="text", source="files", path=str(path), length=length, **options)
    )


def joined(dataset) -> bytes:
    """All three parts, one after another."""
    first = dataset.train.in_turn().tobytes()
    left = dataset.train.size - len(first)
    last = dataset.train[[len(dataset.train) - 1]].tobytes()
    return first + last[len(last) - left :] + dataset.valid.tobytes() + dataset.test.tobytes()


@given(st.integers(3, 3000), st.integers(1, 40))
def test_the_parts_follow_each_other_and_hold_every_character_once(size, length):
    values = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    try:
        dataset = sequences.cut("text", 256, values, length, Report(), "here")
    except InputError:
        assert size < 3 * length or size < 2 * -(-size // (20 * length)) * length + length
        return
    assert joined(dataset) == values.tobytes()
    for held_out in (dataset.valid, dataset.test):
        assert held_out.shape == (-(-size // (20 * length)), length, 1, 1)
        assert held_out.size >= size / 20
    assert dataset.train.shape[1:] == dataset.shape == (length, 1, 1)


def test_training_crops_begin_anywhere_and_are_not_stored():
    values = np.arange(200, dtype=np.uint8)
    dataset = sequences.cut("text", 256, values, 10, Report(), "here")
    assert dataset.train.shape == (171, 10, 1, 1)
    for start in (0, 1, 57, 170):
        crop = dataset.train[[start]].reshape(-1)
        np.testing.assert_array_equal(crop, values[start : start + 10])
    assert dataset.train.size == 180
    # Evaluated are those that do not overlap.
    np.testing.assert_array_equal(dataset.images("train").reshape(-1), values[:180])


def test_the_digest_depends_on_every_character_and_on_the_length():
    values = np.zeros(100, np.uint8)
    digests = {sequences.cut("t", 256, values, n, Report(), "x").sha256 for n in (5, 10)}
    for place in (0, 50, 94, 99):
        changed = values.copy()
        changed[place] = 1
        digests.add(sequences.cut("t", 256, changed, 5, Report(), "x").sha256)
    assert len(digests) == 6


def test_too_short_a_text_says_what_would_fit(tmp_path):
    (tmp_path / "a.txt").write_text("a" * 20)
    with pytest.raises(
        InputError, match=r"length=8, .* received 21 characters; give more text, or"
    ):
        of_files(tmp_path)
    assert of_files(tmp_path, 7).test.shape == (1, 7, 1, 1)


def test_the_bundled_novel():
    """Golden: with another digest results are no longer comparable."""
    dataset = load(DataConfig(dataset="text"))
    text = joined(dataset)
    assert text == bundled_text.read()
    assert len(text) == 684_768
    assert text.startswith(b"PRIDE AND PREJUDICE\n\nBy Jane Austen\n")
    assert b"It is a truth universally acknowledged" in text
    assert dataset.shape == (256, 1, 1)
    assert dataset.sha256 == "edcc48238d53b0d3f89454089e4b90f2b67156b32c69fc96cc81380d6505cc33"


def test_a_damaged_novel_is_named(tmp_path):
    damaged = tmp_path / "novel.xz"
    damaged.write_bytes(lzma.compress(b"It was the best of times"))
    with pytest.raises(InputError, match=r"the file is damaged; .* scripts/make_novels\.py"):
        bundled_text.read(damaged)


def test_the_texts_of_a_folder_are_joined_by_name(tmp_path):
    for name, text in {"b.txt": "second\n", "a.md": "first", "c/d": "third\r\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    dataset = of_files(tmp_path, 4)
    assert joined(dataset) == b"first\nsecond\nthird\n"
    assert dataset.report.left_out == []


def test_one_file_can_be_named(tmp_path):
    (tmp_path / "a.txt").write_text("abcdef" * 5)
    (tmp_path / "b.txt").write_text("xyz" * 10)
    assert joined(of_files(tmp_path / "b.txt", 4)) == b"xyz" * 10 + b"\n"


def test_a_remote_file_is_read_like_a_local_one(tmp_path):
    url = f"memory://{tmp_path.name}/texts"
    with fsspec.open(f"{url}/a.txt", "wb") as file:
        file.write(b"hello " * 10)
    for path in (url, f"{url}/a.txt"):
        assert joined(of_files(path, 4)) == b"hello " * 10 + b"\n"


def test_what_is_no_text_is_left_out_and_named(tmp_path):
    (tmp_path / "a.txt").write_text("hello " * 10)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\xff")
    (tmp_path / ".notes").write_text("hidden")
    (tmp_path / "same.txt").symlink_to(tmp_path / "a.txt")
    left_out = {one.name: one.reason for one in of_files(tmp_path, 4).report.left_out}
    assert left_out == {
        ".notes": "hidden (the name begins with . or __)",
        "empty.txt": "empty file",
        "picture.png": "no text in UTF-8",
        "same.txt": "another name of a file that is used",
    }


def test_a_folder_without_texts_and_a_file_that_is_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected a text in UTF-8 or a folder of them, found no"):
        of_files(tmp_path)
    (tmp_path / "latin").write_bytes(b"caf\xe9 " * 20)
    with pytest.raises(InputError, match="the byte 0xe9 in line 1, column 4; convert it"):
        of_files(tmp_path / "latin")
    with pytest.raises(
        InputError, match="nowhere: expected a folder, found none; give a file or a"
    ):
        of_files(tmp_path / "nowhere")


def test_a_text_of_27_classes(tmp_path):
    (tmp_path / "a").write_text("the quick brown fox\n")
    (tmp_path / "b").write_text("jumps over the lazy dog\n")
    dataset = of_files(tmp_path, 4, alphabet="text8")
    assert dataset.classes == 27
    text = Alphabet("text8").decode(np.frombuffer(joined(dataset), np.uint8))
    assert text == b"the quick brown fox jumps over the lazy dog "
    (tmp_path / "c").write_text("and\nmore")
    with pytest.raises(InputError, match=r"c: line 1, column 4: .* received '\\n'"):
        of_files(tmp_path, 4, alphabet="text8")


@pytest.fixture
def published(monkeypatch):
    """A published text of a size that fits a test."""
    monkeypatch.setattr(texts, "PUBLISHED_SIZE", 1000)
    return b"an anarchism originated as a term of abuse " * 40


def published_text(path, name="text8", length=25):
    return load(DataConfig(dataset=name, source="files", path=str(path), length=length))


def test_published_texts_are_found_plain_or_in_their_archive(tmp_path, published):
    content = published[:1000]
    with zipfile.ZipFile(tmp_path / "text8.zip", "w") as archive:
        archive.writestr("text8", content)
    packed = published_text(tmp_path)
    assert (packed.classes, len(packed.valid), len(packed.test)) == (27, 2, 2)
    (tmp_path / "text8").write_bytes(content)
    (tmp_path / "enwik8").write_bytes(content)
    assert published_text(tmp_path).sha256 == packed.sha256
    assert published_text(tmp_path / "text8.zip").sha256 == packed.sha256
    assert published_text(tmp_path, "enwik8").classes == 256
    assert joined(published_text(tmp_path, "enwik8")) == content


def test_incomplete_and_damaged_published_texts_are_refused(tmp_path, published):
    with pytest.raises(InputError, match=r"expected the file text8 or text8\.zip, found neither"):
        published_text(tmp_path)
    (tmp_path / "text8").write_bytes(published[:999])
    with pytest.raises(InputError, match="expected 1,000 bytes of text8, received 999; copy it"):
        published_text(tmp_path)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("text8", published)
    content = bytearray(packed.getvalue())
    content[45] ^= 255
    (tmp_path / "text8").write_bytes(content)
    with pytest.raises(InputError, match="damaged archive"):
        published_text(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "text8"}, "source: text8 is not in the package; give source: files"),
        ({"dataset": "enwik8", "source": "tfds"}, "source: tfds has no enwik8"),
        ({"dataset": "text", "source": "files"}, "path: required with source: files"),
        (
            {"dataset": "text", "shape": (4, 4, 1)},
            "shape: text holds texts, which have none; leave it out",
        ),
        (
            {"dataset": "text", "augment": {"flip": True}},
            "augment: text holds texts, which have none",
        ),
        ({"dataset": "text", "binarize": "dynamic"}, "binarize: text is not binarized"),
        (
            {"dataset": "text8", "source": "files", "path": "/x", "alphabet": "bytes"},
            "alphabet: text8 has the alphabet text8; leave it out",
        ),
        ({"length": 5}, "length: binarized_mnist holds images, which have none; leave it out"),
        (
            {"alphabet": "bytes"},
            "alphabet: binarized_mnist holds images, which have none; leave it out",
        ),
    ],
)
def test_keys_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DataConfig(**options)
