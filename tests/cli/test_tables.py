"""Lists of runs in pipes, and in terminals of every width: nothing is cut off."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from tests.runner.invented import add_attempt, new_run, started

pytestmark = pytest.mark.slow

ARDM = Path(sys.executable).with_name("ardm")
LONG = "a-very-long-name-of-a-run-that-somebody-gave-1130-111111"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("tables")
    for name in ("digits-1124-0915", LONG):
        run = new_run(folder, name=name)
        add_attempt(run, started(0.0, 0.0), began=0.0)
    return str(folder)


def in_terminal(width: int, *command: str) -> list[str]:
    """The lines that a command prints in a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    environ["TERM"] = "xterm"
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen([ARDM, *command], env=environ, **streams):
        os.close(theirs)
        said = b""
        with suppress(OSError):  # the other side is closed
            while part := os.read(ours, 4096):
                said += part
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said.decode())
    return [line.rstrip() for line in plain.replace("\r\n", "\n").splitlines()]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120, 200])
def test_the_names_of_runs_are_whole_in_a_terminal_of_any_width(store, width):
    lines = in_terminal(width, "runs", "--store", store)
    text = "".join(lines) if width < len(LONG) else "\n".join(lines)
    assert LONG in text
    assert "digits-1124-0915" in text
    assert text.count("queued") == 2
    assert "…" not in text
    if width >= 60:
        assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [40, 60])
def test_the_status_fits_a_narrow_terminal(store, width):
    lines = in_terminal(width, "status", "digits-1124-0915", "--store", store)
    assert "…" not in "".join(lines)
    assert any(line.startswith("attempt") for line in lines)
    # The terminal itself folds the sentence of the first line.
    assert max(map(len, lines[1:])) <= width


def test_a_pipe_gets_one_whole_line_for_each_run(store):
    environ = os.environ | {"COLUMNS": "40"}
    done = subprocess.run(
        [ARDM, "runs", "--store", store], check=True, capture_output=True, text=True, env=environ
    )
    header, *lines = done.stdout.splitlines()
    assert header.split()[:3] == ["run", "state", "step"]
    assert sorted(line.split()[0] for line in lines) == [LONG, "digits-1124-0915"]
    assert all(line.split()[-1] == "invented" for line in lines)
