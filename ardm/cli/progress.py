"""The progress bar. It reads the store, so it works for local runs and for runs in the cloud."""

import threading
from typing import Any, Self

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from ardm.cli.console import err
from ardm.events.events import number, whole
from ardm.events.history import Newest, look_s
from ardm.outages import of_the_store
from ardm.store.run_directory import Run


class ProgressBar:
    """Shows the progress of the newest attempt of a run while the context is open.

    Args:
        run: the run.
        shown: whether the bar is shown.
        after: attempts up to this number are ignored, because they existed before.
    """

    def __init__(self, run: Run, *, shown: bool = True, after: int = 0) -> None:
        self._run, self._shown, self._after = run, shown, after
        self._newest = Newest(run)
        self._bar = Progress(
            TextColumn("{task.fields[state]:<10}", markup=False),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=err,
        )
        self._task = self._bar.add_task("", total=None, state="queued", text="")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._update_periodically, daemon=True)

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

    def update(self) -> None:
        """Read the progress of the newest attempt once, and redraw the bar."""
        newest = self._newest()
        is_new = newest > self._after
        progress = self._run.read_progress(newest) if is_new else {}
        if progress:
            self._bar.update(
                self._task,
                completed=whole(progress, "step") or 0,
                total=whole(progress, "total_steps"),
                state=str(progress.get("state", "starting")),
                text=line(progress),
            )

    def _update_periodically(self) -> None:
        while not self._ended.wait(look_s(self._run)):
            try:
                self.update()
            except Exception as error:
                if not of_the_store(error):
                    raise  # a store that fails for a moment must not end the progress bar


def line(progress: dict[str, Any]) -> str:
    """Step, rate, NELBO, remaining time, attempt and age of the last checkpoint, in one line.

    Missing fields are left out. The age of the checkpoint is that at the time of the progress
    report, measured by the clock of the training process.
    """
    step, total = whole(progress, "step"), whole(progress, "total_steps")
    rate, nelbo = number(progress, "steps_per_s"), number(progress, "train_nelbo_bpd")
    eta = number(progress, "eta_s")
    time, saved = number(progress, "time"), number(progress, "saved_time")
    parts = [f"step {step or 0}/{'?' if total is None else total}"]
    if rate:
        parts.append(f"{rate:.2f} steps/s")
    if nelbo:
        parts.append(f"NELBO {nelbo:.4f} bpd")
    if eta and total is not None and (step or 0) < total:
        parts.append(f"ETA {duration(eta)}")
    parts.append(f"attempt {progress.get('attempt', '?')}")
    if time and saved:
        parts.append(f"saved {duration(max(time - saved, 0))} ago")
    if progress.get("save_error"):
        parts.append(f"CANNOT SAVE: {progress['save_error']}")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """Format seconds as 42s, 3m10s or 2h05m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
