import jax
import pytest

from ardm.training.loop import train
from ardm.training.state import init, place
from tests.training.setting import SEED, bits, tiny_config, tiny_model, tiny_work, together

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def begin():
    return place(init(tiny_model(), tiny_config(), SEED))


def nothing() -> int:
    return 0


def test_every_step_is_yielded_once_with_its_own_state(begin):
    done = list(train(tiny_work(), begin, nothing))
    assert [d.step for d in done] == [1, 2, 3, 4, 5, 6]
    assert [int(d.state.step) for d in done] == [1, 2, 3, 4, 5, 6]
    assert [d.flag for d in done] == [0] * 6


def test_going_on_in_the_middle_gives_the_bits_of_the_uninterrupted_run(begin):
    whole = list(train(tiny_work(), begin, nothing))
    for cut in (1, 3, 5):
        first = train(tiny_work(), begin, nothing)
        half = [next(first) for _ in range(cut)][-1].state
        saved = place(jax.device_get(half))
        rest = list(train(tiny_work(), saved, nothing))
        assert [d.step for d in rest] == list(range(cut + 1, 7))
        assert bits(rest[-1].state) == bits(whole[-1].state)
        assert [bits(d.metrics) for d in rest] == [bits(d.metrics) for d in whole[cut:]]


def test_steps_that_are_dispatched_ahead_change_no_bit_and_are_dropped_with_the_loop(begin):
    asked = []

    def flag() -> int:
        asked.append(None)
        return len(asked)

    whole = list(train(tiny_work(), begin, nothing))
    for ahead in (1, 2, 10):
        done = list(train(tiny_work(), begin, nothing, ahead))
        assert [bits(d.state) for d in done] == [bits(d.state) for d in whole]
        assert [bits(d.metrics) for d in done] == [bits(d.metrics) for d in whole]
    steps = train(tiny_work(), begin, flag, ahead=2)
    stopped = [next(steps), next(steps)][-1]
    steps.close()
    assert (stopped.step, stopped.flag, len(asked)) == (2, 2, 4)
    saved = place(jax.device_get(stopped.state))
    rest = list(train(tiny_work(), saved, nothing, ahead=1))
    assert bits(rest[-1].state) == bits(whole[-1].state)


@pytest.mark.parametrize("ahead", [1, 3])
def test_workers_that_dispatch_ahead_stop_at_the_same_step(begin, ahead):
    def stopped(member):
        raised = iter([0, 0, 1 if member.rank else 0, 0, 0, 0])
        for done in train(tiny_work(member), begin, lambda: next(raised), ahead):
            if done.flag:
                return done.step, bits(done.state)
        return None

    first, second = together(2, stopped)
    assert first == second
    assert first[0] == 3


def test_a_finished_state_has_nothing_left_to_do(begin):
    last = list(train(tiny_work(), begin, nothing))[-1].state
    assert list(train(tiny_work(), last, nothing)) == []


def test_a_flag_of_any_worker_reaches_all_of_them_at_the_same_step(begin):
    def flags(member):
        raised = iter([0, 0, 2 if member.rank == 1 else 1, 0, 0, 0])
        return [done.flag for done in train(tiny_work(member), begin, lambda: next(raised))]

    assert together(2, flags) == [[0, 0, 2, 0, 0, 0]] * 2


def test_the_state_after_a_step_is_not_touched_by_the_next_one(begin):
    """A save in the background reads the state while training continues."""
    steps = train(tiny_work(), begin, nothing)
    kept = next(steps).state
    before = bits(kept)
    list(steps)
    assert bits(kept) == before
