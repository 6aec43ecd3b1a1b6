"""The progress of a training in a notebook cell: a bar, figures, and the newest pictures.

A thread reads the store and draws what it finds. So the display never delays the training.
"""

import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from ardm.errors import InputError
from ardm.events.events import number, whole
from ardm.events.history import Newest, look_s
from ardm.outages import of_the_store
from ardm.store.run_directory import Run

PICTURES_S = 5.0
"""The pictures are looked for once in this time (seconds)."""

_HEIGHT = 260
"""Height of a picture on the page (pixels)."""


@contextmanager
def progress(run: Run, after: int) -> Iterator[None]:
    """Show the progress of a run in a notebook cell while the context is open.

    Args:
        run: the run.
        after: number of the newest attempt before the one to show.

    Raises:
        InputError: there is no IPython.
    """
    try:
        from IPython.display import HTML, display
    except ImportError as error:
        raise InputError("show=True is for notebooks, and IPython is not installed") from error
    page = Page(run, after)
    over = threading.Event()
    handle = display(HTML(page.draw()), display_id=True)

    def refresh() -> None:
        while not over.wait(look_s(run)):
            handle.update(HTML(page.draw()))

    thread = threading.Thread(target=refresh, name="ardm-cell", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        handle.update(HTML(page.draw(is_last=True)))


class Page:
    """Draws what is known about a run as a piece of HTML.

    Args:
        run: the run.
        after: number of the newest attempt that is not shown.
        clock: seconds since any moment.
    """

    def __init__(self, run: Run, after: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._after, self._clock = run, after, clock
        self._newest = Newest(run)
        self._progress: dict[str, Any] = {}
        self._pictures: dict[str, bytes] = {}
        self._looked = -PICTURES_S

    def draw(self, *, is_last: bool = False) -> str:
        """The HTML as of now.

        Args:
            is_last: whether to look for pictures even if that was done a moment ago.
        """
        fault = ""
        try:
            self._look(is_last=is_last)
        except Exception as error:
            if not of_the_store(error):
                raise
            fault = f"the store does not answer ({type(error).__name__})"
        step = whole(self._progress, "step") or 0
        total = whole(self._progress, "total_steps") or 0
        pictures = "".join(
            f'<img src="data:image/png;base64,{b64encode(data).decode()}" alt="{escape(name)}" '
            f'style="max-height:{_HEIGHT}px; max-width:100%; margin:4px 12px 4px 0">'
            for name, data in self._pictures.items()
        )
        parts = [escape(part) for part in self._parts(step, total)]
        warning = self._progress.get("save_error") or fault
        alarm = f'<div style="color:#b3401f">{escape(str(warning))}</div>' if warning else ""
        return (
            f'<div style="font-family:sans-serif"><b>{escape(self._run.name)}</b> '
            f'<progress value="{step}" max="{max(total, 1)}" style="width:16em; max-width:60%">'
            f"</progress><br>{' · '.join(parts)}{alarm}<br>{pictures}</div>"
        )

    def _parts(self, step: int, total: int) -> Iterator[str]:
        progress = self._progress
        yield str(progress.get("state") or "starting")
        if total:
            yield f"step {step:,} of {total:,}"
        if (nelbo := number(progress, "train_nelbo_bpd")) is not None:
            yield f"training NELBO {nelbo:.4f} bits per dimension"
        if rate := number(progress, "steps_per_s"):
            yield f"{rate:.2f} steps/s"
        if (eta := number(progress, "eta_s")) and step < total:
            yield f"{eta / 60:.0f} min left" if eta >= 90 else f"{eta:.0f} s left"
        if (saved := whole(progress, "saved_step")) is not None:
            yield f"saved at step {saved:,}"
        if attempt := whole(progress, "attempt"):
            yield f"attempt {attempt}"

    def _look(self, *, is_last: bool) -> None:
        newest = self._newest()
        if newest > self._after:
            self._progress = self._run.read_progress(newest) or self._progress
        if is_last or self._clock() >= self._looked + PICTURES_S:
            self._looked = self._clock()
            self._pictures = self._find_pictures()

    def _find_pictures(self) -> dict[str, bytes]:
        """The loss curve and the newest samples, as far as there are any."""
        run = self._run
        samples = [name for name in run.store.names(f"{run.name}/samples") if name.endswith(".png")]
        names = {"loss": run.file("plots", "loss.png")}
        if samples:
            names["samples"] = run.file("samples", max(samples))
        contents = run.store.read_many(names.values())
        return {title: contents[name] for title, name in names.items() if contents.get(name)}
