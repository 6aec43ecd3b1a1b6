"""The random faults of a chaos run, and their times."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from ardm.chaos import storage_faults
from ardm.chaos.schedule import FIRST, KINDS, TORN, schedule

seeds = st.integers(0, 2**63)
lengths = st.floats(0.0, 3600.0)
gaps = st.floats(1.0, 300.0)
kinds = st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True)


@settings(deadline=None, max_examples=50)
@given(seeds, lengths, kinds, gaps)
def test_the_same_seed_gives_the_same_faults(seed, seconds, chosen, every):
    assert schedule(seed, seconds, chosen, every) == schedule(seed, seconds, chosen, every)


@settings(deadline=None, max_examples=50)
@given(seeds, lengths, kinds, gaps)
def test_faults_are_ordered_and_within_the_duration(seed, seconds, chosen, every):
    moments = [fault.time for fault in schedule(seed, seconds, chosen, every)]
    assert all(FIRST <= moment <= seconds + 0.1 for moment in moments)
    slack = 0.11  # times are rounded
    assert all(
        0.6 * every - slack <= b - a <= 1.4 * every + slack for a, b in itertools.pairwise(moments)
    )


@settings(deadline=None, max_examples=50)
@given(seeds, kinds)
def test_every_kind_is_drawn_once_before_any_is_drawn_again(seed, chosen):
    drawn = [fault.kind for fault in schedule(seed, 3600, chosen, 30.0)]
    size = len(chosen)
    rounds = [drawn[i : i + size] for i in range(0, len(drawn) - size + 1, size)]
    assert len(rounds) >= 2
    assert all(sorted(one) == sorted(chosen) for one in rounds)


@settings(deadline=None, max_examples=50)
@given(seeds)
def test_a_longer_run_begins_with_the_faults_of_a_shorter_one(seed):
    short, long = schedule(seed, 300), schedule(seed, 3000)
    assert len(short) > 2
    assert long[: len(short)] == short


@settings(deadline=None, max_examples=50)
@given(seeds)
def test_the_proxy_accepts_the_faults_of_the_store(seed):
    drawn = [f.details for f in schedule(seed, 3600, ["storage"])]
    for what in drawn:
        fault = storage_faults.Fault(what["what"], what["share"], what["seconds"], what["delay"])
        assert 15 <= fault.seconds <= 60
        assert 0 < fault.share <= 1


@settings(deadline=None, max_examples=50)
@given(seeds)
def test_the_proxy_accepts_refusals_and_delays(seed):
    for what in (f.details for f in schedule(seed, 3600, ["route"])):
        storage_faults.Fault(what["what"], seconds=what["seconds"], client=what["client"])
    late = {f.details["delay"] for f in schedule(seed, 36000, ["slow"])}
    assert late == {0.04, 1.0}


@settings(deadline=None, max_examples=50)
@given(seeds)
def test_every_kind_of_small_file_is_torn(seed):
    drawn = [f.details for f in schedule(seed, 36000, ["torn"])]
    assert {what["files"][0] for what in drawn} == set(TORN)
    assert all(sorted(what["files"]) == sorted(TORN) for what in drawn)


@settings(deadline=None, max_examples=50)
@given(seeds)
def test_both_signals_go_to_drivers_and_to_workers(seed):
    drawn = [f.details for f in schedule(seed, 36000, ["signals"])]
    assert len({(what["signal"], what["to"]) for what in drawn}) == 4


def test_other_seeds_give_other_faults():
    assert len({str(schedule(seed, 600)) for seed in range(50)}) == 50
