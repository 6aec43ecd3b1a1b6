"""The driver goes on where a controller of Ray Train's has died, and saves before it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ray.exceptions import ActorDiedError

from ardm.cluster import driver
from ardm.errors import JobFailed
from ardm.events import kinds
from ardm.events.event_log import EventLog
from ardm.events.events import Outcome
from ardm.store import claims
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.cluster.conftest import wait_until

pytestmark = pytest.mark.slow


class Controllers:
    """Controllers that live so many seconds each and die; the one after the last one does not."""

    def __init__(self, *lives: float) -> None:
        self.lives, self.now, self.begun = list(lives), 0.0, 0

    def fit(self) -> None:
        self.begun += 1
        if self.lives:
            self.now += self.lives.pop(0)
            raise ActorDiedError()

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize("lives", [[], [1.0], [100.0] * 10, [1.0, 1.0, 100.0, 1.0, 1.0]])
def test_another_controller_goes_on(lives: list[float]) -> None:
    controllers = Controllers(*lives)
    driver._fit(controllers.fit, controllers.clock)
    assert controllers.begun == len(lives) + 1


def test_controllers_that_die_at_once_end_the_job() -> None:
    controllers = Controllers(100.0, 1.0, 2.0, 3.0)
    with pytest.raises(JobFailed, match="3 controllers of Ray Train died within 60 s each"):
        driver._fit(controllers.fit, controllers.clock)
    assert controllers.begun == 4


DRIVER = """
import sys, time
from ardm.cluster import driver
from ardm.store.run_directory import Run
from ardm.store.store import Store
driver._save_at_signals(Run(Store(sys.argv[1]), "mine"))
print("ready", flush=True)
while True:
    time.sleep(0.1)  # a signal just before a long sleep would be heard after it
"""


@pytest.mark.parametrize("numbers", [["SIGTERM", "SIGTERM"], ["SIGHUP", "SIGINT", "SIGTERM"]])
def test_no_number_of_signals_ends_a_driver_before_its_run_has_saved(
    numbers: list[str], tmp_path: Path
) -> None:
    run = Run(Store(str(tmp_path)), "mine")
    number = claims.claim(run, {})
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        for name in numbers:
            process.send_signal(signal.Signals[name])
        requested = Path(run.store.path(run.stop_request(number)))
        wait_until(requested.exists, patience=60, every=0.02)
        for name in numbers:
            process.send_signal(signal.Signals[name])
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        events = EventLog(run, number)
        events.add(kinds.Ended(outcome=Outcome.STOPPED, step=3, reason="saved"))
        events.flush()
        assert process.wait(60) == 75
    finally:
        process.kill()
        process.wait()
