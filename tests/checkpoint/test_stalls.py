"""The cost of a save is what the steps beside it took beyond the others."""

from ardm.checkpoint.stalls import ENOUGH, Stalls


def calm(stalls: Stalls, steps: int) -> None:
    for _ in range(steps):
        assert stalls.step(1.0, saving=False) is None


def test_the_excess_of_all_steps_beside_a_save_is_its_stall() -> None:
    stalls = Stalls()
    calm(stalls, 10)
    stalls.begun()
    assert stalls.step(1.25, saving=True) is None
    assert stalls.step(1.5, saving=False) == 0.75


def test_a_save_within_one_step_and_one_that_costs_nothing() -> None:
    stalls = Stalls()
    calm(stalls, 10)
    stalls.begun()
    assert stalls.step(1.5, saving=False) == 0.5
    stalls.begun()
    assert stalls.step(0.9, saving=False) == 0.0


def test_nothing_is_concluded_from_too_few_ordinary_steps() -> None:
    stalls = Stalls()
    calm(stalls, ENOUGH - 1)
    stalls.begun()
    assert stalls.step(9.0, saving=False) is None
    calm(stalls, 1)
    stalls.begun()
    assert stalls.step(9.0, saving=False) == 8.0


def test_slow_ordinary_steps_do_not_count_as_stalls() -> None:
    stalls = Stalls()
    calm(stalls, 10)
    assert stalls.step(60.0, saving=False) is None
    stalls.begun()
    assert stalls.step(1.5, saving=False) == 0.5
