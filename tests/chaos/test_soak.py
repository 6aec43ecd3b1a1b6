import json
import subprocess
import sys
from pathlib import Path

import pytest

from ardm.chaos.soak_result import KINDS, Result, Struck, judge
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.store import claims
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.runner.setting import newest_digest, save


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_few_faults_break_no_promise() -> None:
    ardm = Path(sys.executable).with_name("ardm")
    done = subprocess.run(
        [str(ardm), "soak", "--faults", "6", "--seed", "3", "--json"],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["broken"] == []
    assert found["faults"] == sum(row["faults"] for row in found["kinds"].values()) == 6
    assert set(found["kinds"]) | set(found["left_out"]) <= set(KINDS)
    assert found["attempts"] > found["runs"] >= 1
    assert len(found["digest"]) == 64


@pytest.fixture
def struck(tmp_path: Path) -> Run:
    """A run whose first attempt came to step 30, and whose second one began with step 20."""
    run = Run(Store(str(tmp_path)), "struck")
    for first, last in ((0, 30), (20, 40)):
        events = EventLog(run, claims.claim(run, {}))
        events.add(kinds.Started(step=first))
        save(run, max(run.attempts()), last)
        events.add(kinds.Saved(step=last, seconds=0.1, bytes=1, interval=1.0))
        events.flush()
    return run


def test_a_kept_promise_is_not_called_broken(struck: Run) -> None:
    result = Result(reference=newest_digest(struck)[1])
    assert judge(result, struck, [Struck("kill", 1, kept=20)]) == []
    assert (result.attempts, result.lost) == (2, {"kill": 10})


def test_each_promise_that_is_not_kept_is_named(struck: Run) -> None:
    found = judge(Result(reference="another"), struck, [Struck("kill", 1, kept=30, what="so")])
    assert found[0].startswith("it ended with the digest ")
    assert found[1] == "kill: attempt 2 began with step 20, though step 30 was saved (so)"
    (late,) = judge(
        Result(reference=newest_digest(struck)[1]),
        struck,
        [Struck("signals", 1, orderly=True, what="SIGTERM")],
    )
    assert late == "signals: 10 steps lost (SIGTERM)"
