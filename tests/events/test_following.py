"""Looking on: whether an attempt lives is told from what changes, not from two clocks."""

from ardm.events.history import Pulse
from tests.clock import Clock


def beat(number, attempt=1, **more):
    return {"attempt": attempt, "beat": number, "beat_s": 20.0} | more


def test_an_attempt_lives_while_its_beats_change_whatever_the_time_says():
    clock = Clock()
    pulse = Pulse(clock)
    for number in range(5):
        assert pulse.beats(beat(number, time=-1e9 * number))
        clock.now += 40.0
    assert pulse.beats(beat(4))
    clock.now += 10.0
    assert not pulse.beats(beat(4))
    assert pulse.beats(beat(5))


def test_a_new_attempt_is_a_new_life():
    clock = Clock()
    pulse = Pulse(clock)
    pulse.beats(beat(7))
    clock.now += 100.0
    assert not pulse.beats(beat(7))
    assert pulse.beats(beat(7, attempt=2))


def test_an_attempt_of_an_older_version_beats_by_its_time():
    clock = Clock()
    pulse = Pulse(clock)
    for second in range(0, 100, 10):
        clock.now += 10.0
        assert pulse.beats({"attempt": 1, "time": second})
    clock.now += 20.0
    assert not pulse.beats({"attempt": 1, "time": 90})
