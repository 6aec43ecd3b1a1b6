import pytest

from ardm.checkpoint import preservation
from ardm.events import history, kinds
from ardm.events.event_log import EventLog
from ardm.runner import control
from ardm.store import claims
from tests.runner.setting import save

pytestmark = pytest.mark.slow


def there(nodes):
    """No machine is gone."""
    return False


def crash_loop(run, number, limit, gone):
    return control.crash_loop(run, history.records(run), number, limit, gone)


def failure(run, number):
    return control.failure(history.records(run), number)


def lived(run, *events, submission="s1", nodes=()):
    """An attempt of a submission, with its events."""
    number = claims.claim(run, {"submission": submission, "nodes": nodes})
    event_log = EventLog(run, number)
    for event in events:
        event_log.add(event)
    event_log.flush()
    return number


def end(outcome, reason="because"):
    return kinds.Ended(outcome=outcome, step=3, reason=reason)


def test_a_stop_is_asked_of_the_newest_attempt_unless_it_has_ended(run):
    assert control.request_stop(run) is None
    lived(run, end("preempted"))
    assert control.request_stop(run) is None
    number = lived(run)
    assert control.request_stop(run) == number
    assert run.store.read(run.stop_request(number)) is not None
    assert run.store.read(run.stop_request(1)) is None


def test_an_attempt_trains_from_its_first_step(run):
    assert not control.trains(run, 0)
    assert control.trains(run, lived(run, kinds.FirstStep(step=1, seconds=1.0)))
    assert not control.trains(run, lived(run))


def test_the_end_is_waited_for(local_run):
    number = lived(local_run)
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            event_log = EventLog(local_run, number, rank=1)
            event_log.add(end("stopped"))
            event_log.flush()

    assert control.wait_for_end(local_run, number, 60.0, sleep).outcome == "stopped"
    assert len(naps) == 3
    assert control.wait_for_end(local_run, lived(local_run), 0.0, sleep) is None


def test_attempts_that_come_no_further_are_a_crash_loop_in_the_end(run):
    assert crash_loop(run, lived(run), 2, there) is None
    lived(run, end("failed", "boom"))
    number = lived(run)
    found = crash_loop(run, number, 2, there)
    assert (found.attempts, found.last_reason) == ([1, 2], "boom")
    assert crash_loop(run, number, 3, there) is None


@pytest.mark.parametrize(
    "ending",
    [
        [end("preempted")],
        [end("stopped")],
        [kinds.Notice(reason="spot"), end("storage_fault")],
    ],
)
def test_an_orderly_end_or_a_notice_breaks_the_loop(local_run, ending):
    lived(local_run)
    lived(local_run, *ending)
    lived(local_run)
    assert crash_loop(local_run, lived(local_run), 2, there) is None


@pytest.mark.parametrize("more", [[], [end("worker_lost")]])
def test_a_checkpoint_of_a_new_step_breaks_the_loop(local_run, more):
    lived(local_run)
    save(local_run, lived(local_run, kinds.Restored(step=3), *more), 4)
    lived(local_run, kinds.Restored(step=4))
    assert crash_loop(local_run, lived(local_run), 2, there) is None


def test_a_save_that_is_told_of_and_not_there_is_no_progress(local_run):
    """As when each attempt writes a checkpoint that the next one has to put aside."""
    for _ in range(2):
        number = lived(local_run, kinds.Restored(step=3), kinds.Saved(step=4))
        preservation.quarantine(save(local_run, number, 4))
    save(local_run, lived(local_run, kinds.Restored(step=3), kinds.Saved(step=3)), 3)
    found = crash_loop(local_run, lived(local_run), 3, there)
    assert found.attempts == [1, 2, 3]


def test_an_attempt_that_went_with_its_machine_breaks_the_loop(local_run):
    """As when a machine is preempted without notice, before the first save."""
    lived(local_run, nodes=["a", "b"])
    lived(local_run, nodes=["a", "c"])
    number = lived(local_run, nodes=["d", "e"])
    assert crash_loop(local_run, number, 2, lambda nodes: "b" in nodes) is None
    assert crash_loop(local_run, number, 1, lambda nodes: "b" in nodes) is not None
    assert crash_loop(local_run, number, 2, lambda nodes: "d" in nodes) is not None


def test_a_new_submission_has_a_new_budget(local_run):
    for _ in range(3):
        lived(local_run, submission="s1")
    assert crash_loop(local_run, lived(local_run, submission="s2"), 3, there) is None
    assert crash_loop(local_run, lived(local_run, submission="s2"), 1, there) is not None


def test_attempts_started_by_hand_are_nobodys_loop(local_run):
    """Else a run that was killed three times at once could never be gone on with."""
    for _ in range(3):
        lived(local_run, submission=None)
    assert crash_loop(local_run, lived(local_run, submission=None), 3, there) is None


def test_a_programming_error_of_another_worker_is_found_by_the_next_attempt(local_run):
    wrong = kinds.WorkerFailed(rank=1, outcome="failed", step=2, reason="boom", detail="Traceback")
    lived(local_run, wrong)
    found = failure(local_run, lived(local_run, submission="s1"))
    assert (found.rank, found.reason) == (1, "boom")
    assert failure(local_run, lived(local_run, submission="s2")) is None
