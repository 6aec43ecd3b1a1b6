import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ardm.runner.claiming import process_metadata
from ardm.store import claims
from ardm.store.run_directory import Run
from ardm.store.store import Store


def test_attempts_are_numbered_and_the_newest_holds_the_run(run):
    assert [claims.claim(run, {"n": n}) for n in (1, 2, 3)] == [1, 2, 3]
    assert run.attempts() == [1, 2, 3]
    assert claims.newer(run, 1) == 3
    assert claims.newer(run, 3) is None
    assert run.store.read_record(run.claim(2)) == {"n": 2}


def test_claims_made_at_the_same_instant_get_numbers_of_their_own(run):
    barrier = threading.Barrier(6)

    def claim(who: int) -> int:
        mine = Run(Store(run.store.uri), run.name)
        barrier.wait(30)
        return claims.claim(mine, {"who": who})

    with ThreadPoolExecutor(6) as threads:
        numbers = list(threads.map(claim, range(6)))
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    for who, number in enumerate(numbers):
        assert run.store.read_record(run.claim(number)) == {"who": who}


def test_a_claim_tells_where_and_with_which_versions():
    metadata = process_metadata(1.23456, 2)
    assert (metadata["time"], metadata["workers"]) == (1.235, 2)
    assert metadata["device"].startswith("cpu:")
    assert set(metadata["libraries"]) >= {"jax", "jaxlib", "flax", "optax", "numpy"}


def test_a_claim_whose_answer_was_lost_is_found_to_be_ones_own(run, monkeypatch):
    """The file system, or we, ask again; the number must not be taken for somebody else's."""
    create = type(run.store).create
    lost = []

    def answer_lost(store, name, data):
        create(store, name, data)
        lost.append(name)
        raise ConnectionResetError("reset")

    about = {"n": 1, "token": "one"}
    monkeypatch.setattr(type(run.store), "create", answer_lost)
    with pytest.raises(ConnectionResetError):
        claims.claim(run, about)
    monkeypatch.undo()
    assert claims.claim(run, about) == 1
    assert claims.claim(run, about | {"token": "two"}) == 2
    assert run.attempts() == [1, 2]
