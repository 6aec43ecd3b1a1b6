"""What signals do to the real command `ardm train`."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ardm.checkpoint import checkpoints
from ardm.events import event_log, kinds
from ardm.events.events import Event
from ardm.runner.context import Notice
from ardm.runner.interrupts import SECOND_LOOK, saving_first
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests.runner.setting import JOB, newest_digest

pytestmark = pytest.mark.slow


ENDLESS = "training.steps=1000000"
DEEP = "model.net.blocks=24"
"""Takes many seconds to compile, and none to run."""


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    yield
    while Training.begun:
        process = Training.begun.pop()
        process.kill()
        process.wait()


class Training:
    """`ardm train` as a process of its own, on a local store."""

    begun: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(
        self, folder: Path, *options: str, through: tuple[str, ...] = (), **popen: Any
    ) -> None:
        job = folder / "job.yaml"
        job.write_text(JOB)
        self.run = Run(Store(str(folder / "runs")), "mine")
        self.out = folder / "out"
        command = [
            *through,
            Path(sys.executable).with_name("ardm"), "train", job, "--store", self.run.store.uri,
            "--run", self.run.name, "--set", ENDLESS, *options,
        ]  # fmt: skip
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(command, **{"stdout": out, "stderr": out} | popen)
        self.begun.append(self.process)

    def wait_for(self, true: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 120
        while not true():
            assert self.process.poll() is None, self.out.read_text()
            assert time.monotonic() < deadline, self.out.read_text()
            time.sleep(0.02)

    def wait_for_save(self) -> None:
        self.wait_for(lambda: checkpoints.committed(self.run))

    def wait_for_event(self, kind: type[Event]) -> None:
        self.wait_for(lambda: kinds.last(event_log.read(self.run, 1), kind))

    def end(self) -> kinds.Ended:
        """Wait for an orderly end; the event that recorded it."""
        code = self.process.wait(120)
        assert code == 75, f"{code}: {self.out.read_text()}"
        event = kinds.last(event_log.read(self.run, 1), kinds.Ended)
        assert event
        return event


@pytest.fixture(autouse=True)
def nothing_ignored() -> Iterator[None]:
    """What these tests inherit may ignore signals, as under `nohup` or in a script's background."""
    before = {
        number: signal.signal(number, handler)
        for number, handler in (
            (signal.SIGHUP, signal.SIG_DFL),
            (signal.SIGINT, signal.default_int_handler),
        )
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_comes_twice_saves_and_a_second_kind_does_not_cut_the_save_off(
    tmp_path: Path,
) -> None:
    training = Training(tmp_path, "--no-progress")
    training.wait_for_save()
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        training.process.send_signal(number)
        time.sleep(0.02)
    ended = training.end()
    # Signals that come while the process has no turn are delivered in the order of their numbers.
    assert ended.outcome == "preempted"
    assert ended.reason.endswith("; saved")
    assert newest_digest(training.run)[0] == ended.step > 0


TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)


def test_a_terminal_that_closes_takes_the_progress_bar_and_no_step(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    training = Training(tmp_path, through=(sys.executable, "-c", TERMINAL), **terminal)
    os.close(theirs)

    def saved() -> bool:
        while select.select([ours], [], [], 0)[0]:
            os.read(ours, 4096)
        return bool(checkpoints.committed(training.run))

    training.wait_for(saved)
    os.close(ours)
    ended = training.end()
    assert (ended.outcome, ended.reason) == ("preempted", "SIGHUP; saved")
    assert newest_digest(training.run)[0] == ended.step


def test_nohup_keeps_its_promise(tmp_path: Path) -> None:
    training = Training(tmp_path, through=("nohup",))
    training.wait_for_save()
    training.process.send_signal(signal.SIGHUP)
    saved = checkpoints.committed(training.run)[0].step
    training.wait_for(lambda: checkpoints.committed(training.run)[0].step > saved)
    training.process.send_signal(signal.SIGTERM)
    assert training.end().reason == "SIGTERM; saved"


def test_a_signal_while_a_step_is_compiled_ends_the_attempt_without_waiting_for_it(
    tmp_path: Path,
) -> None:
    cold = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cold")}
    training = Training(tmp_path, "--set", DEEP, "--json", env=os.environ | cold)
    training.wait_for_event(kinds.Started)
    training.process.send_signal(signal.SIGTERM)
    ended = training.end()
    assert (ended.outcome, ended.step) == ("preempted", 0)
    assert ended.reason == "SIGTERM; nothing new to save"
    assert kinds.last(event_log.read(training.run, 1), kinds.FirstStep) is None
    said = training.out.read_text()
    assert json.loads(said[said.index("{") : said.index("}") + 1])["outcome"] == "preempted"


def test_only_a_late_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from ardm.runner.interrupts import saving_first\n"
        "from ardm.runner.context import Notice\n"
        "now = [0.0]\n"
        "with saving_first(Notice(), lambda: now[0]):\n"
        "    for after in map(float, sys.argv[1:]):\n"
        "        now[0] += after\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
    )

    def ended(*after: float) -> int:
        command = [sys.executable, "-c", program, *map(str, after)]
        return subprocess.run(command, capture_output=True, timeout=60).returncode

    assert ended(0, 0.02, SECOND_LOOK / 2) == 0
    assert ended(0, 0.02, SECOND_LOOK) == -signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_no_ctrl_c_never_ends_at_once(number: signal.Signals) -> None:
    notice, seconds = Notice(), iter((0.0, 5.0, 10.0))
    with saving_first(notice, lambda: next(seconds)):
        for _ in range(3):
            os.kill(os.getpid(), number)
    assert notice.reason == number.name
