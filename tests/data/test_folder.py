import uuid

import fsspec
import pytest

from ardm.data.folder import BATCH, Folder, FolderUnreachable
from ardm.errors import DataUnreachable, InputError
from tests.data.published import serve

FILES = {
    "b.png": b"b",
    "a[1].png": b"a",
    "z/c.PNG": b"c",
    "z/y/d.txt": b"d",
    ".hidden.png": b"-",
    "__MACOSX/b.png": b"-",
    "z/.thumbs/e.png": b"-",
}
SEEN = ["a[1].png", "b.png", "z/c.PNG", "z/y/d.txt"]


@pytest.fixture(params=["local", "memory"])
def url(request, tmp_path):
    return str(tmp_path / "in") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def put(url: str, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        with fsspec.open(f"{url}/{name}", "wb", auto_mkdir=True) as file:
            file.write(content)


HIDDEN = [".hidden.png", "__MACOSX/", "z/.thumbs/"]


def test_all_files_are_listed_and_the_hidden_ones_are_named(url):
    put(url, FILES)
    for listing in (Folder(url).listing(), Folder(f"{url}/").listing()):
        assert list(listing.files) == SEEN
        assert sorted(one.name for one in listing.unused) == HIDDEN


def test_files_are_read_one_by_one_and_together(url):
    put(url, FILES)
    folder = Folder(url)
    assert [folder.read(name) for name in SEEN] == [b"a", b"b", b"c", b"d"]
    assert list(folder.read_all(SEEN[::-1])) == [(name, FILES[name]) for name in SEEN[::-1]]
    assert list(folder.read_all([])) == []


@pytest.mark.parametrize("name", ["a::b", "My [Drive]; $x 'y' & *?#", "a:b", "ü"])
def test_a_path_is_taken_as_it_is(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "1.png").write_bytes(b"x")
    folder = Folder(str(tmp_path / name))
    assert list(folder.listing().files) == ["1.png"]
    assert folder.read("1.png") == b"x"


def test_more_files_than_are_asked_for_at_once_keep_their_order(tmp_path):
    names = [f"{number}" for number in range(2 * BATCH + 1)]
    put(str(tmp_path), {name: name.encode() for name in names})
    assert list(Folder(str(tmp_path)).read_all(names)) == [(n, n.encode()) for n in names]


def test_a_folder_in_a_bucket(bucket):
    put(f"{bucket}/images", FILES)
    folder = Folder(f"{bucket}/images")
    listing = folder.listing()
    assert list(listing.files) == SEEN
    assert sorted(one.name for one in listing.unused) == HIDDEN
    assert list(folder.read_all(SEEN)) == [(name, FILES[name]) for name in SEEN]


def test_a_missing_folder_is_named(url):
    with pytest.raises(InputError, match="none: expected a folder, found none; look again"):
        Folder(f"{url}/none").listing(advice="look again")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(InputError, match="x: expected a folder, found none"):
        Folder(str(tmp_path / "x")).listing()


def test_a_file_that_went_away_is_named(url):
    put(url, FILES)
    folder = Folder(url)
    for read in (lambda: folder.read("gone.png"), lambda: list(folder.read_all(["gone.png"]))):
        with pytest.raises(InputError, match=r"FileNotFoundError.*gone\.png") as caught:
            read()
        assert not isinstance(caught.value, FolderUnreachable)


def test_a_server_that_is_down_is_no_missing_folder(tmp_path):
    put(str(tmp_path / "images"), {"1.png": b"x"})
    with serve(tmp_path) as address:
        folder = Folder(f"{address}/images")
        assert list(folder.listing().files) == ["1.png"]
        assert folder.read("1.png") == b"x"
        with pytest.raises(InputError, match="expected a folder, found none") as caught:
            Folder(f"{address}/none").listing()
        assert not isinstance(caught.value, DataUnreachable)
    reads = (
        folder.listing,
        Folder(f"{address}/images").listing,
        lambda: folder.read("1.png"),
        lambda: list(folder.read_all(["1.png"])),
    )
    for read in reads:
        with pytest.raises(DataUnreachable, match="check the connection or the disk"):
            read()


def test_an_unknown_kind_of_place_is_named():
    with pytest.raises(InputError, match=r"gopher://b/x: expected a folder.*ValueError"):
        Folder("gopher://b/x")
