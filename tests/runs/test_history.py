from ardm.runs import attempt, history
from ardm.runs.curve import Curve
from ardm.runs.ledger import Ledger


def trained(step, bpd):
    return {"event": "trained", "step": step, "nelbo_bpd": bpd}


def evaluated(step, bpd):
    return {"event": "evaluated", "step": step, "nelbo_bpd": bpd, "se_bpd": 0.01}


def test_what_was_done_again_replaces_what_it_was_done_before():
    curve = Curve()
    for event in [
        {"event": "started", "step": 0},
        trained(10, 0.5), trained(20, 0.4), evaluated(20, 0.45), trained(30, 0.3),
        {"event": "restored", "step": 15},
        trained(25, 0.35), {"event": "saved", "step": 25},
    ]:  # fmt: skip
        curve.add(event)
    assert curve.train == {10: 0.5, 25: 0.35}
    assert curve.test == {}


def test_a_rewind_keeps_the_step_itself():
    curve = Curve({5: 1.0, 6: 2.0}, {5: (1.0, 0.1), 6: (2.0, 0.1)})
    curve.rewind(5)
    assert (curve.train, curve.test) == ({5: 1.0}, {5: (1.0, 0.1)})


def test_the_curves_run_through_all_attempts(local_run):
    for number, told in [(1, [trained(10, 0.5), evaluated(10, 0.6)]), (2, [trained(20, 0.4)])]:
        assert attempt.claim(local_run, {}) == number
        book = Ledger(local_run, number)
        for event in told:
            book.add(**{"kind" if k == "event" else k: v for k, v in event.items()})
        book.flush()
    found = history.read(local_run).curve
    assert found.train == {10: 0.5, 20: 0.4}
    assert found.test == {10: (0.6, 0.01)}
