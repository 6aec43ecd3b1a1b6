"""The progress of a training in a notebook cell: a bar, figures, and the newest samples.

A thread reads the store and draws what it finds. So the display never delays the training.
"""

import re
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from itertools import accumulate
from typing import Any

from ardm.data.config import medium
from ardm.errors import InputError
from ardm.events.events import number, whole
from ardm.events.history import Newest, look_s
from ardm.outages import of_the_store
from ardm.store import registry
from ardm.store.run_directory import Run

SAMPLES_S = 5.0
"""The loss curve and the samples are looked for once in this time (seconds)."""

_MIME = {"png": "image/png", "wav": "audio/wav"}

_HEIGHT = 260
"""Height of a picture or of a text on the page (pixels)."""

_MOST_BYTES = 2_000_000
"""Bytes of recordings on the page: each update sends all of it to the browser."""


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
        self._shown: dict[str, bytes] = {}
        self._looked = -SAMPLES_S
        self._unit = ""

    def draw(self, *, is_last: bool = False) -> str:
        """The HTML as of now.

        Args:
            is_last: whether to look for samples even if that was done a moment ago.
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
        shown = "".join(_element(name, data) for name, data in self._shown.items())
        parts = [escape(part) for part in self._parts(step, total)]
        warning = self._progress.get("save_error") or fault
        alarm = f'<div style="color:#b3401f">{escape(str(warning))}</div>' if warning else ""
        return (
            f'<div style="font-family:sans-serif"><b>{escape(self._run.name)}</b> '
            f'<progress value="{step}" max="{max(total, 1)}" style="width:16em; max-width:60%">'
            f"</progress><br>{' · '.join(parts)}{alarm}<br>{shown}</div>"
        )

    def _parts(self, step: int, total: int) -> Iterator[str]:
        progress = self._progress
        yield str(progress.get("state") or "starting")
        if total:
            yield f"step {step:,} of {total:,}"
        if (nelbo := number(progress, "train_nelbo_bpd")) is not None:
            yield f"training NELBO {nelbo:.4f} {self._unit}"
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
            self._unit = self._unit or medium(registry.read_spec(self._run).data).unit
        if is_last or self._clock() >= self._looked + SAMPLES_S:
            self._looked = self._clock()
            self._shown = self._find_samples()

    def _find_samples(self) -> dict[str, bytes]:
        """The loss curve and the newest samples by their file names, as far as there are any."""
        run = self._run
        steps: dict[str, list[str]] = {}
        for name in sorted(run.store.names(f"{run.name}/samples")):
            if re.match(r"\d{8}[.-]", name):  # a user may keep other files there
                steps.setdefault(name[:8], []).append(name)
        samples = steps[max(steps)] if steps else []
        files = {"loss.png": run.file("plots", "loss.png")}
        files |= {name: run.file("samples", name) for name in samples}
        contents = run.store.read_many(files.values())
        found = {title: contents[name] for title, name in files.items() if contents.get(name)}
        sizes = accumulate(len(data) for data in found.values())
        return {
            name: found[name] for name, size in zip(found, sizes, strict=True) if size < _MOST_BYTES
        }


def _element(name: str, data: bytes) -> str:
    """A piece of HTML that shows a file: a picture, a recording or a text."""
    kind = name.rpartition(".")[2]
    address = f'src="data:{_MIME.get(kind, "")};base64,{b64encode(data).decode()}"'
    if kind == "png":
        style = f"max-height:{_HEIGHT}px; max-width:100%; margin:4px 12px 4px 0"
        return f'<img {address} alt="{escape(name)}" style="{style}">'
    if kind == "wav":
        return f"<audio controls {address}></audio>"
    style = f"max-height:{_HEIGHT}px; overflow:auto; white-space:pre-wrap"
    return f'<pre style="{style}">{escape(data.decode(errors="replace"))}</pre>'
