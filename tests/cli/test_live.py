"""The live view: what it shows in narrow and wide terminals, and how it ends."""

import io
import json
import os
import pty
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from ardm.cli import live
from ardm.cli.live import View
from ardm.events.curve import Curve
from tests.runner.invented import add_attempt, new_run, started

STATUS = {
    "run": "digits",
    "state": "training",
    "reason": "",
    "step": 400,
    "total_steps": 1000,
    "unit": "bits/dim",
    "checkpoint": {"step": 390, "age_s": 12.0, "bytes": 18_200_000},
    "goodput": {"fraction": 0.987, "steps_lost": 3},
    "attempts": [
        {
            "attempt": 1,
            "outcome": "preempted",
            "reason": "SIGTERM; saved",
            "first_step": 0,
            "last_step": 200,
            "steps_lost": 0,
        },
        {
            "attempt": 2,
            "outcome": None,
            "reason": "",
            "first_step": 200,
            "last_step": 400,
            "steps_lost": 0,
        },
    ],
    "skipped": [],
    "workers_differ": [],
    "changes": [],
}
PROGRESS = {
    "attempt": 2,
    "state": "training",
    "step": 412,
    "time": 1000.0,
    "saved_step": 390,
    "saved_time": 990.0,
    "steps_per_s": 2.5,
    "eta_s": 235.0,
    "train_nelbo_bpd": 0.1587,
}
CURVE = Curve(
    train={step: 0.5 / (1 + step / 100) for step in range(10, 410, 10)},
    valid={200: (0.17, 0.002), 400: (0.16, 0.002)},
)


def drawn(width, view=None):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(live.draw(view or View(STATUS, PROGRESS, CURVE), width))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_every_figure_is_shown_and_no_line_is_cut(width):
    text = drawn(width)
    lines = text.splitlines()
    assert all(len(line) <= width for line in lines)
    whole = " ".join(text.replace("│", " ").split())
    for part in (
        "digits · training",
        "41 %",
        "412 of 1,000",
        "2.50 steps/s, 3m55s left",
        "0.1587 bits/dim",
        "0.1600 ± 0.0020 at step 400",
        "step 390, 10s ago, 18.2 MB",
        "98.7%, 3 steps lost",
        "preempted, steps 0 to 200: SIGTERM; saved",
        "running, steps 200 to 400",
    ):
        assert part in whole, text
    if width >= 80:
        assert any(bar in text for bar in live.BARS[1:])


def test_a_warning_is_shown():
    text = drawn(80, View(STATUS, PROGRESS | {"save_error": "disk [full]"}, CURVE))
    assert "cannot save: disk [full]" in text
    damaged = STATUS | {"skipped": [{"step": 5, "reason": "x"}]}
    assert "damaged checkpoint of step 5" in drawn(80, View(damaged, PROGRESS, CURVE))
    text = drawn(80, View(STATUS, PROGRESS, CURVE, fault="the store does not answer"))
    assert "the store does not answer" in text


def test_a_run_without_attempts_is_shown():
    queued = STATUS | {"state": "queued", "reason": "no attempt has begun", "attempts": []}
    queued |= {"step": 0, "checkpoint": None, "goodput": {"fraction": None, "steps_lost": 0}}
    text = drawn(60, View(queued, {}))
    assert "digits · queued" in text
    assert "no attempt has begun" in text
    assert "no checkpoint yet" in text


def test_a_line_says_what_the_view_does_and_changes_with_events_alone():
    view = View(STATUS, PROGRESS, CURVE)
    assert live.line(view).startswith("digits: training, step 412 of 1000 · speed 2.50 steps/s")
    later = View(STATUS, PROGRESS | {"step": 420, "train_nelbo_bpd": 0.15}, CURVE)
    assert live.change(later) == live.change(view)
    saved = View(STATUS, PROGRESS | {"saved_step": 420}, CURVE)
    assert live.change(saved) != live.change(view)


def test_a_sparkline_has_a_character_for_each_span_of_steps():
    bounds = (0.0, 7.0)
    assert live.sparkline({step: float(step) for step in range(8)}, 8, 8, bounds) == live.BARS
    assert live.sparkline({0: 99.0, 7: -99.0}, 8, 8, bounds) == "█      ▁"
    assert live.sparkline({}, 0, 3, bounds) == "   "
    assert live.sparkline({1: 2.0}, 1, 2, (2.0, 2.0)) == " ▁"


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
def test_q_ends_the_display_in_a_terminal(tmp_path, variables):
    run = new_run(tmp_path)
    number = add_attempt(run, started(0.0, 0.0), began=0.0)
    fields = PROGRESS | {"attempt": number, "time": time.time(), "saved_time": time.time()}
    fields |= {"beat": 1, "beat_s": 1000.0, "tail": []}
    run.store.write(run.progress(number), json.dumps(fields).encode())
    terminal, inside = pty.openpty()
    ardm = str(Path(sys.executable).with_name("ardm"))
    watching = subprocess.Popen(
        [ardm, "watch", run.name, "--store", run.store.uri],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=dict(os.environ) | variables | {"TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(inside)
    shown = b""
    while b"q closes this view" not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, b"xq")
    with suppress(OSError):  # the terminal is gone with the process
        while data := os.read(terminal, 4096):
            shown += data
    os.close(terminal)
    assert watching.wait(60) == 0
    assert b"goes on" in shown
    assert (b"\x1b[36m" in shown or b"\x1b[1;36m" in shown) is not bool(variables)
