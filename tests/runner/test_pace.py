import pytest

from ardm.runner.pace import WINDOW, Pace
from tests.clock import Clock


def paced(seconds, start=1, total=100):
    """A pace after steps that took so many seconds each."""
    clock = Clock()
    pace = Pace(total, clock)
    for number, took in enumerate(seconds, start):
        clock.now += took
        pace.step(number, 1.0 / number)
    return pace, clock


def test_the_first_step_compiles_and_does_not_count():
    pace, _ = paced([60.0])
    assert pace.now() == {"steps_per_s": None, "eta_s": None, "train_nelbo_bpd": None}
    pace, _ = paced([60.0, 0.5, 0.5])
    assert pace.now()["steps_per_s"] == 2.0
    assert pace.now()["eta_s"] == pytest.approx(97 / 2)
    assert pace.now()["train_nelbo_bpd"] == pytest.approx((1 / 2 + 1 / 3) / 2, abs=1e-5)


def test_a_run_that_goes_on_counts_from_where_it_is():
    pace, _ = paced([60.0, 1.0, 1.0], start=50)
    assert pace.now()["eta_s"] == pytest.approx(48.0)


def test_a_window_gives_the_rate_and_the_mean_of_its_own_steps():
    pace, clock = paced([60.0] + [1.0] * 9)
    assert pace.window() is None
    clock.now += 1.0
    pace.step(11, 0.25)
    first = pace.window()
    assert first["steps_per_s"] == 1.0
    assert first["nelbo_bpd"] == pytest.approx((sum(1 / n for n in range(1, 11)) + 0.25) / 11, 1e-5)
    assert pace.window() is None
    clock.now += WINDOW
    pace.step(12, 0.125)
    assert pace.window() == {"nelbo_bpd": 0.125, "steps_per_s": 0.1}


def test_seconds_of_an_evaluation_are_left_out():
    pace, clock = paced([60.0, 1.0])
    with pace.paused():
        clock.now += 1000.0
    clock.now += 1.0
    pace.step(3, 0.3)
    assert pace.now()["steps_per_s"] == 1.0
    assert pace.window() is None


def test_the_points_of_a_long_curve_come_ever_more_seldom():
    pace, clock = paced([1.0])
    windows = 0
    for step in range(30 * 24 * 60):  # minutes of 30 days
        clock.now += 60.0
        pace.step(step + 2, 0.5)
        windows += pace.window() is not None
    assert 1000 < windows < 5000
