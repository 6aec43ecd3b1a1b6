import os
import socket

import pytest

from ardm.data.walk import HIDDEN, walk


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def link(root, name, to):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(to)


def unused(root) -> dict[str, str]:
    return {one.name: one.reason for one in walk(str(root)).unused}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_links_to_folders_and_files_are_followed(root, tmp_path):
    put(tmp_path, "far/a/1.png", "far/2.png")
    put(root, "3.png")
    link(root, "train", tmp_path / "far")
    link(root, "x/4.png", "../3.png")
    listing = walk(str(root))
    assert list(listing.files) == ["3.png", "train/2.png", "train/a/1.png", "x/4.png"]
    assert listing.files["x/4.png"] == listing.files["3.png"] == os.path.realpath(root / "3.png")
    assert listing.files["train/2.png"] == os.path.realpath(tmp_path / "far/2.png")
    assert listing.unused == []


def test_the_root_may_be_a_link(root, tmp_path):
    put(root, "a/1.png")
    link(tmp_path, "there", root)
    assert walk(str(tmp_path / "there")).files == walk(str(root)).files


def test_circles_of_links_end(root):
    put(root, "a/1.png", "b/2.png")
    link(root, "a/to_b", "../b")
    link(root, "b/to_a", "../a")
    link(root, "a/self", ".")
    link(root, "up", "..")
    link(root, "here", ".")
    listing = walk(str(root))
    names = ["a/1.png", "a/to_b/2.png", "b/2.png", "b/to_a/1.png"]
    assert list(listing.files) == names
    reasons = unused(root)
    assert reasons["up/"] == reasons["here/"] == "link to a folder above it"
    again = "link to a folder that is read already"
    assert reasons["a/self/"] == reasons["a/to_b/to_a/"] == reasons["b/to_a/to_b/"] == again


def test_many_links_among_many_folders_take_no_time(root):
    folders = [f"d{number}" for number in range(30)]
    for folder in folders:
        put(root, f"{folder}/1.png")
        for other in folders:
            link(root, f"{folder}/to_{other}", f"../{other}")
    assert len(walk(str(root)).files) == 30 * 30


def test_whatever_is_no_file_is_named_with_the_reason(root, monkeypatch):
    put(root, ".DS_Store", "__MACOSX/1.png", "a/.thumbs/2.png", "a/3.png")
    link(root, "gone.png", "nowhere.png")
    link(root, "test", "/nowhere")
    link(root, "loop.png", "loop.png")
    (root / "val").mkdir()
    os.mkfifo(root / "pipe.png")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket.png")
        assert unused(root) == {
            ".DS_Store": HIDDEN,
            "__MACOSX/": HIDDEN,
            "a/.thumbs/": HIDDEN,
            "gone.png": "link that leads nowhere",
            "test/": "link that leads nowhere",
            "loop.png": "link that leads nowhere",
            "val/": "empty folder",
            "pipe.png": "not a regular file",
            "socket.png": "not a regular file",
        }
    assert list(walk(str(root)).files) == ["a/3.png"]
