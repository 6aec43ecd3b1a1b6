"""Makes the pictures of README in `docs/pictures/` from a real run on a Ray of this machine.

    .venv/bin/python -m scripts.make_pictures

It trains `jobs/smoke.yaml`, longer than usual, on one node; kills the worker with SIGKILL; later
starts a second node and gives notice to the first one, as before a spot preemption; and waits for
the end. Meanwhile it reads the
progress of the run from the store, as `ardm watch` does. It takes about four minutes.
"""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Console

from ardm.chaos.nodes import WORKER, Nodes, nodes
from ardm.cli import live
from ardm.cluster import raylet
from ardm.events import event_log, history, kinds
from ardm.runner import control
from ardm.runs import open_run
from ardm.store.run_directory import Run

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"

STEPS, INTERVAL_S, KILL_AT, NOTICE_AT = 3200, 12, 1500, 2500
"""Steps of the run, seconds between its saves, and the steps of the kill and of the notice."""

INK, ACCENT, RED, GRAY = "#1b1f24", "#0b6bcb", "#b3401f", "#8b949e"

_FONT_FROM_THE_NETWORK = re.compile(r"@font-face \{.*?\n *\}\n", re.DOTALL)
"""What Rich (15) writes into an SVG; without it, the viewer's own monospaced font is used."""


def main() -> None:
    """Make both pictures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, nodes() as cluster:
        draw(cluster, f"{folder}/runs")


def draw(cluster: Nodes, store: str) -> None:
    """Train, disturb, and draw what happened."""
    first = cluster.add()
    sets = (f"training.steps={STEPS}", f"checkpoint.interval={INTERVAL_S}", "evaluation.every=800")
    options = [word for one in sets for word in ("--set", one)]
    submit = ["submit", str(ROOT / "jobs" / "smoke.yaml"), "--run", "digits", *options]
    ardm = Path(sys.executable).with_name("ardm")
    environment = os.environ | {"ARDM_STORE": store}
    subprocess.run([ardm, *submit, "--address", cluster.jobs], env=environment, check=True)
    run = open_run("digits", store=store).directory
    with watching(run) as seen:
        wait_until(lambda: seen and seen[-1][1] >= KILL_AT)
        killed = time.time()
        cluster.processes(WORKER)[0].kill()
        wait_until(lambda: seen[-1][1] >= NOTICE_AT and seen[-1][2] == 2)
        cluster.add()
        noticed = time.time()
        raylet.drain(first, "spot preemption", 25)
        wait_until(
            lambda: run.read_claim(3) and seen[-1][2] == 3 and seen[-1][1] >= NOTICE_AT + 100
        )
        (FOLDER / "watch.svg").write_text(terminal(run))
        wait_until(lambda: (end := control.ended(run, 3)) and end.outcome.ends_the_job)
    picture = timeline(run, seen, killed, noticed)
    (FOLDER / "preemption.svg").write_text(picture)
    print(json.dumps(open_run("digits", store=store).status()["goodput"]))


Sighting = tuple[float, int, int]
"""Time (seconds since 1970), step and attempt."""


@contextmanager
def watching(run: Run) -> Iterator[list[Sighting]]:
    """Read the progress of a run ten times a second meanwhile."""
    seen: list[Sighting] = []
    over = Event()

    def watch() -> None:
        while not over.wait(0.1):
            number = run.newest_attempt()
            progress = run.read_progress(number) if number else {}
            if progress.get("state") == "training" and progress.get("step") is not None:
                seen.append((progress["time"], progress["step"], number))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def wait_until(true: Callable[[], object], patience: float = 300.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + patience
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {patience:.0f} s")
        time.sleep(0.1)


def terminal(run: Run) -> str:
    """The view of `ardm watch` in a terminal of 100 columns, as an SVG."""
    status = open_run(run.name, store=run.store.uri).status(verify=False)
    progress = run.read_progress(run.newest_attempt())
    view = live.View(status, progress, history.read(run).curve)
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    console.print(live.draw(view, console.width))
    svg = console.export_svg(title="ardm watch digits", unique_id="watch")
    return _FONT_FROM_THE_NETWORK.sub("", svg)


def timeline(run: Run, seen: list[Sighting], killed: float, noticed: float) -> str:
    """Steps over time with saves, the kill and the notice, as an SVG."""
    begin = seen[0][0]
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    axes = figure.subplots()
    for number in (1, 2, 3):
        times = [(moment - begin, step) for moment, step, attempt in seen if attempt == number]
        axes.plot(*zip(*times, strict=True), color=ACCENT, lw=2.2, solid_capstyle="round")
        saves = [
            (e.time - begin, e.step)
            for e in event_log.read(run, number)
            if isinstance(e, kinds.Saved)
        ]
        label = "a checkpoint is committed" if number == 1 else None
        axes.plot(*zip(*saves, strict=True), "o", color=INK, ms=4.5, label=label, zorder=3)
    height = axes.get_ylim()[1]
    for moment, words in ((killed, "the worker is killed"), (noticed, "its machine gets notice")):
        axes.axvline(moment - begin, color=RED, lw=1.2, ls=(0, (4, 3)))
        axes.annotate(words, (moment - begin, height), (-6, -4), textcoords="offset points",
                      ha="right", va="top", color=RED, fontsize=10)  # fmt: skip
    axes.set(xlabel="seconds", ylabel="training step", ylim=(0, height))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=GRAY, labelcolor=INK)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.0, 0.9))
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "ardm"}):
        figure.savefig(out, format="svg", facecolor="white", metadata={"Date": None})
    return out.getvalue()


if __name__ == "__main__":
    main()
