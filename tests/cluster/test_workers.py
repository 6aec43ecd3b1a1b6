"""What a controller of Ray Train that died leaves behind."""

import os
import subprocess
import sys

import pytest


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_what_the_workers_of_a_dead_controller_hold_is_given_back() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    # Else Ray leaves a token in the home directory, and asks for it from then on.
    environment["RAY_AUTH_MODE"] = "disabled"
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.left_behind"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0.0", "1.0"]
