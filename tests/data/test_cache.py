import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from ardm.data.cache import fetch, publish
from ardm.errors import StoreUnusable


@pytest.fixture(params=["local", "memory"])
def directory(request, tmp_path):
    if request.param == "local":
        return str(tmp_path / "not" / "there" / "yet")
    return f"memory://{uuid.uuid4().hex}"


def test_what_nobody_published_is_none(directory):
    assert fetch(f"{directory}/x") is None


def test_what_was_published_is_fetched(directory):
    assert publish(f"{directory}/x", b"one") == b"one"
    assert fetch(f"{directory}/x") == b"one"


def test_the_first_to_publish_wins(directory):
    publish(f"{directory}/x", b"one")
    assert publish(f"{directory}/x", b"another") == b"one"
    assert fetch(f"{directory}/x") == b"one"


def test_processes_that_race_get_the_same_whole_file(tmp_path):
    """With fsspec's own exclusive creation about half of these races have two winners."""
    racers = 4
    for race in range(50):
        url = str(tmp_path / f"{race}")
        start = threading.Barrier(racers)
        received: list[bytes] = []

        def publish_one(number, url=url, start=start, received=received):
            start.wait()
            received.append(publish(url, bytes([number]) * 100_000))

        threads = [threading.Thread(target=publish_one, args=(n,)) for n in range(racers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(received) == racers
        assert set(received) == {fetch(url)}
        assert len(received[0]) == 100_000


def test_no_parts_are_left_behind(tmp_path):
    for content in (b"one", b"another"):
        publish(str(tmp_path / "x"), content)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnusable, match=r"file/x.*NotADirectoryError"):
        publish(str(tmp_path / "file" / "x"), b"one")


def test_an_unknown_protocol_is_named():
    with pytest.raises(StoreUnusable, match=r"gopher://b/x.*read"):
        fetch("gopher://b/x")


def test_one_of_many_publishers_wins_in_a_bucket(bucket):
    url = f"{bucket}/runs/_shared/data/file"
    assert fetch(url) is None
    contents = [bytes([i]) * 1000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        seen = set(pool.map(lambda content: publish(url, content), contents))
    assert len(seen) == 1
    assert fetch(url) in seen
