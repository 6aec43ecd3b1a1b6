import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ardm import filesystem
from ardm.errors import StoreUnusable
from ardm.store.store import Store
from tests import counting


@pytest.fixture
def store(store_uri):
    return Store(store_uri)


def test_what_is_written_is_read(store):
    assert store.read("a/b.json") is None
    store.write("a/b.json", b'{"x": 1}')
    assert store.read("a/b.json") == b'{"x": 1}'
    assert store.read_record("a/b.json") == {"x": 1}
    store.write("a/b.json", b'{"x": 2}', lasting=True)
    assert store.read_record("a/b.json") == {"x": 2}
    assert store.read_record("a/none.json") is None
    store.write("a/empty", b"")
    assert store.read("a/empty") == b""


def test_names_are_those_directly_below(store):
    assert store.names() == []
    assert store.names("a") == []
    for name in ("a/2", "a/10", "a/b/c", "d"):
        store.write(name, b"x")
    assert store.names() == ["a", "d"]
    assert store.names("a") == ["10", "2", "b"]
    # Names are looked up anew each time: another process may have written.
    Store(store.uri).write("a/3", b"x")
    assert store.names("a") == ["10", "2", "3", "b"]


def test_several_objects_are_read_at_once_and_absent_ones_left_out(store):
    for i in range(5):
        store.write(f"e/{i}", bytes([i]))
    assert store.read_many(["e/3", "e/0"]) == {"e/3": b"\3", "e/0": b"\0"}
    assert store.read_many(["e/1", "e/none", "e/2"]) == {"e/1": b"\1", "e/2": b"\2"}
    assert store.read_many([]) == {}
    assert store.names_of(["e", "none"]) == {"e": ["0", "1", "2", "3", "4"], "none": []}
    store.remove(["e/0", "e/none", "e/3"])
    assert store.names("e") == ["1", "2", "4"]
    assert store.files("e") == {"1": 1, "2": 1, "4": 1}


def test_of_several_objects_one_that_cannot_be_read_is_an_error(emulator, bucket, monkeypatch):
    """Else its events would be missing, and nobody would know."""
    with counting.serve(emulator) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.address)
        store = Store(f"{bucket}/runs")
        for name in ("e/0", "e/1"):
            store.write(name, b"x")
        proxy.refused = "e%2F1"
        with pytest.raises(OSError, match="orbidden"):
            store.read_many(["e/0", "e/1"])
        proxy.refused = ""
        assert store.read_many(["e/0", "e/1"]).keys() == {"e/0", "e/1"}


def test_of_several_files_one_that_cannot_be_read_is_an_error(tmp_path):
    store = Store(str(tmp_path))
    store.write("e/0", b"x")
    (tmp_path / "e" / "1").symlink_to("1")
    with pytest.raises(OSError, match="symbolic links"):
        store.read_many(["e/0", "e/1"])


def test_each_of_many_objects_has_the_time_of_one(emulator, bucket, monkeypatch):
    """All of them together may take longer than one answer may."""
    with counting.serve(emulator, delay=0.2) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.address)
        monkeypatch.setattr(filesystem, "SMALL", 1.0)
        monkeypatch.setattr(filesystem, "AT_ONCE_REMOTE", 2)
        store = Store(f"{bucket}/runs")
        store.write("e/0", b"x")
        assert store.read_many(["e/0"] * 16) == {"e/0": b"x"}
        proxy.delay = 3.0
        with pytest.raises(TimeoutError, match="e/0: no answer within 1 s"):
            store.read_many(["e/0"] * 16)


def test_of_many_who_create_an_object_at_once_one_succeeds(store):
    barrier = threading.Barrier(8)

    def create(i: int) -> bool:
        mine = Store(store.uri)
        barrier.wait(30)
        try:
            mine.create("attempts/000001.json", bytes([i]) * 1000)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(create, range(8)))
    assert sum(made) == 1
    assert store.read("attempts/000001.json") == bytes([made.index(True)]) * 1000
    assert store.names("attempts") == ["000001.json"]


def test_a_reader_meets_the_old_or_the_new_and_never_half_of_it(store):
    size = 300_000
    store.write("o", b"\0" * size)
    over = threading.Event()
    seen = []

    def look() -> None:
        mine = Store(store.uri)
        while not over.is_set():
            seen.append(mine.read("o"))

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for i in range(1, 20):
        store.write("o", bytes([i]) * size)
    over.set()
    for reader in readers:
        reader.join(30)
    assert len(seen) > 2
    assert {len(data) for data in seen} == {size}
    assert all(data == data[:1] * size for data in seen)
    assert len({data[0] for data in seen}) > 1


def test_trees_are_removed_moved_and_fetched_whole(store, tmp_path):
    for name in ("t/a", "t/b/c"):
        store.write(name, name.encode())
    store.move_tree("t", "kept/t")
    assert store.names("t") == []
    store.fetch_tree("kept/t", tmp_path / "here")
    assert (tmp_path / "here" / "b" / "c").read_bytes() == b"t/b/c"
    assert (tmp_path / "here" / "a").read_bytes() == b"t/a"
    store.remove_tree("kept/t")
    assert store.names("kept/t") == []
    store.remove_tree("kept/t")


def test_a_store_that_can_be_used_passes_and_keeps_nothing_of_the_check(store):
    store.check()
    assert store.names() == []


def test_a_missing_bucket_is_told_within_seconds(emulator):
    begin = time.monotonic()
    with pytest.raises(StoreUnusable, match=r"no-such-bucket.*Create the bucket"):
        Store("gs://no-such-bucket-anywhere/runs").check()
    assert time.monotonic() - begin < 10


def test_a_place_that_is_no_directory_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnusable, match=r"cannot be written.*--store or ARDM_STORE"):
        Store(str(tmp_path / "file")).check()


@pytest.mark.parametrize(
    "odd",
    ["My Drive", "[1]", "a*b?", "x;id", "$HOME", 'it\'s "q"', "a&b", "50%20", "ü ñ", "#1", "-rf"],
)
def test_a_directory_may_have_any_name(tmp_path, odd):
    store = Store(str(tmp_path / odd))
    assert store.root == str(tmp_path / odd)
    store.check()
    for name in ("r/a", "r/b", "r/c/d"):
        store.create(name, name.encode())
    assert store.names("r") == ["a", "b", "c"]
    store.move_tree("r", "q/r")
    assert store.files("q") == {"r/a": 3, "r/b": 3, "r/c/d": 5}
    store.fetch_tree("q/r", tmp_path / "copies" / odd)
    assert (tmp_path / "copies" / odd / "c" / "d").read_bytes() == b"r/c/d"
    begun = Path(store.path("q/begun"))
    begun.mkdir()
    (begun / "last").touch()
    store.publish_tree(begun, "q/published", "last")
    assert store.names("q/published") == ["last"]
    assert abs(store.age("q/r/a")) < 100
    store.remove_tree("q")
    assert store.names() == []


def test_a_local_path_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Store("./runs").uri == str(tmp_path / "runs")
    assert Store("~/x").uri == str(Path("~/x").expanduser())
    assert Store("runs/").url("a") == str(tmp_path / "runs" / "a")
    assert Store("runs").is_local
