import json
import subprocess
import sys
from pathlib import Path

import pytest

from ardm.chaos.soak_result import KINDS, Result, SoakFault, judge
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
        [str(ardm), "soak", "--faults", "2", "--seed", "3", "--json"],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["broken"] == []
    assert result["faults"] == sum(row["faults"] for row in result["kinds"].values()) == 2
    assert set(result["kinds"]) | set(result["left_out"]) <= set(KINDS)
    assert result["attempts"] > result["runs"] >= 1
    assert len(result["digest"]) == 64


@pytest.fixture
def interrupted(tmp_path: Path) -> Run:
    """A run whose first attempt did 30 steps, and whose second attempt began with step 20."""
    run = Run(Store(str(tmp_path)), "interrupted")
    for first, last in ((0, 30), (20, 40)):
        events = EventLog(run, claims.claim(run, {}))
        events.add(kinds.Started(step=first))
        save(run, max(run.attempts()), last)
        events.add(kinds.Saved(step=last, seconds=0.1, bytes=1, interval=1.0))
        events.flush()
    return run


def test_a_kept_promise_is_not_called_broken(interrupted: Run) -> None:
    result = Result(reference=newest_digest(interrupted)[1])
    assert judge(result, interrupted, [SoakFault("kill", 1, kept=20)]) == []
    assert (result.attempts, result.lost) == (2, {"kill": 10})


def test_each_promise_that_is_not_kept_is_named(interrupted: Run) -> None:
    broken = judge(
        Result(reference="another"), interrupted, [SoakFault("kill", 1, kept=30, what="so")]
    )
    assert broken[0].startswith("it ended with the digest ")
    assert broken[1] == "kill: attempt 2 began with step 20, though step 30 was saved (so)"
    (line,) = judge(
        Result(reference=newest_digest(interrupted)[1]),
        interrupted,
        [SoakFault("signals", 1, orderly=True, what="SIGTERM")],
    )
    assert line == "signals: 10 steps lost (SIGTERM)"
