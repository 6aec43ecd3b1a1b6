"""The progress bar, fed from the store: the same for a run here and one in the cloud."""

import threading
import time
from typing import Any, Self

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from ardm.cli.console import err
from ardm.runs.layout import Run

BEAT = 1.0


class ProgressBar:
    """Shows the newest attempt of a run until it is left.

    Args:
        run: the run.
        shown: whether to show anything.
        after: the newest attempt that is of no interest, because it was there before.
    """

    def __init__(self, run: Run, *, shown: bool = True, after: int = 0) -> None:
        self._run, self._shown, self._after = run, shown, after
        self._bar = Progress(
            TextColumn("{task.fields[state]:<10}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
            console=err,
        )
        self._task = self._bar.add_task("", total=None, state="queued", text="")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beats, daemon=True)

    def __enter__(self) -> Self:
        if self._shown:
            self._bar.start()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._shown:
            self._thread.join(timeout=5)
            self.update()
            self._bar.stop()

    def update(self) -> dict[str, Any]:
        """Look once and redraw; returns what was found, empty before the first attempt."""
        found = latest(self._run, self._after)
        if found:
            self._bar.update(
                self._task,
                completed=found["step"],
                total=found["total_steps"],
                state=found["state"],
                text=line(found, time.time()),
            )
        return found

    def _beats(self) -> None:
        while not self._ended.wait(BEAT):
            self.update()


def latest(run: Run, after: int = 0) -> dict[str, Any]:
    """The progress object of the newest attempt; empty before there is one after some other."""
    number = max(run.attempts(), default=0)
    if number <= after:
        return {}
    found: dict[str, Any] = run.store.read_record(run.progress(number)) or {}
    return found


def line(found: dict[str, Any], now: float) -> str:
    """Step, rate, NELBO, remaining time, attempt and age of the last checkpoint, on one line."""
    parts = [f"step {found['step']}/{found['total_steps']}"]
    if found.get("steps_per_s"):
        parts.append(f"{found['steps_per_s']:.2f} steps/s")
    if found.get("train_nelbo_bpd"):
        parts.append(f"NELBO {found['train_nelbo_bpd']:.4f} bpd")
    if found.get("eta_s") and found["step"] < found["total_steps"]:
        parts.append(f"ETA {duration(found['eta_s'])}")
    parts.append(f"attempt {found['attempt']}")
    if found.get("saved_time"):
        parts.append(f"saved {duration(max(now - found['saved_time'], 0))} ago")
    if found.get("save_error"):
        parts.append(f"CANNOT SAVE: {found['save_error']}")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as a person writes them: 42s, 3m10s, 2h05m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
