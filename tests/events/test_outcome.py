import json

from ardm.events.events import Outcome


def test_only_what_would_come_out_the_same_again_ends_the_job():
    assert [outcome for outcome in Outcome if not outcome.ends_the_job] == [
        "preempted", "resized", "superseded", "worker_lost", "storage_fault",
    ]  # fmt: skip


def test_what_is_orderly_is_no_crash():
    assert [outcome for outcome in Outcome if outcome.is_orderly] == [
        "completed", "stopped", "preempted", "resized", "limit_reached", "superseded",
    ]  # fmt: skip


def test_a_run_can_go_on_after_an_interruption_and_not_after_a_failure():
    assert {outcome.value: outcome.state for outcome in Outcome} == {
        "completed": "completed",
        "stopped": "stopped",
        "preempted": "stopped",
        "resized": "stopped",
        "limit_reached": "stopped",
        "superseded": "superseded",
        "worker_lost": "stopped",
        "storage_fault": "failed",
        "save_failed": "failed",
        "diverged": "failed",
        "out_of_memory": "failed",
        "bad_input": "failed",
        "failed": "failed",
    }
    assert [outcome for outcome in Outcome if outcome.was_interrupted] == [
        "preempted", "worker_lost",
    ]  # fmt: skip


def test_the_event_log_holds_the_words():
    assert json.loads(json.dumps(list(Outcome))) == [outcome.value for outcome in Outcome]
    assert all(Outcome(outcome.value) is outcome for outcome in Outcome)
    assert Outcome("of a later version") is Outcome.FAILED
