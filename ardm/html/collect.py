"""What a page shows of a run, read from its store."""

import base64
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ardm.analysis.report import report
from ardm.analysis.status import status
from ardm.data.config import medium
from ardm.events import event_log, history, kinds
from ardm.events.curve import Curve
from ardm.events.events import finite, whole
from ardm.events.records import AttemptRecord
from ardm.job.spec import JobSpec
from ardm.store import registry
from ardm.store.run_directory import Run

MOST_POINTS = 2000
"""Largest number of points of a curve over time."""

MOST_SAMPLES, MOST_BYTES = 12, 4_000_000
"""Largest number of steps whose samples are shown, and of bytes of a file that is embedded."""

MIME = {"png": "image/png", "wav": "audio/wav"}


class Sample(NamedTuple):
    """The samples of a step: pictures or recordings as data URLs, or texts."""

    step: int
    files: list[tuple[str, str]]
    """Kinds (`png`, `wav`, `txt`) and contents."""


class Timed(NamedTuple):
    """A training loss with its time (seconds since 1970)."""

    time: float
    step: int
    bpd: float


@dataclass(frozen=True)
class Collected:
    """Everything that the page of a run shows."""

    run: Run
    spec: JobSpec
    status: dict[str, Any]
    report: dict[str, Any]
    records: list[AttemptRecord]
    curve: Curve
    timed: list[Timed]
    saves: list[tuple[float, int]]
    """Times and steps of committed checkpoints."""
    samples: list[Sample]
    losses: list[float] | None
    """L[t] in nats, as `ardm policy` measured it; None if it did not."""
    policies: list[dict[str, Any]]
    plots: dict[str, str]
    """Pictures of the run's folder `plots` by their names, as data URLs."""

    @property
    def unit(self) -> str:
        """The unit of the NELBO."""
        return medium(self.spec.data).unit


def collect(run: Run, on_demand_price: float | None = None) -> Collected:
    """Read everything that the page of a run shows; a torn file is left out with a warning.

    Args:
        run: the run.
        on_demand_price: price per worker-hour of on-demand machines, for the cost.

    Raises:
        NotFound: there is no such run.
    """
    spec = registry.read_spec(run)
    past = history.read(run)
    timed, saves = _times(run, [record.attempt for record in past.records])
    losses, policies = _policies(run)
    return Collected(
        run=run,
        spec=spec,
        status=status(run, {}, verify=False),
        report=report(run, on_demand_price),
        records=past.records,
        curve=past.curve,
        timed=_thinned(timed),
        saves=saves,
        samples=_samples(run),
        losses=losses,
        policies=policies,
        plots=_plots(run),
    )


def paired(a: Collected, b: Collected, split: str) -> tuple[float, float, int] | None:
    """The mean difference of two runs in nats, b minus a, its standard error, and the number.

    The stored estimates of the newest evaluations are compared where both runs evaluated the same
    image at the same generation step. None if they have no such estimates, or other data.
    """
    if a.spec.data != b.spec.data:
        return None
    terms = [_estimates(one.run, split) for one in (a, b)]
    if any(found is None for found in terms):
        return None
    first, second = (dict(zip(*found, strict=True)) for found in terms if found)
    common = sorted(first.keys() & second.keys())
    if len(common) < 2:
        return None
    differences = np.array([second[key] - first[key] for key in common])
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean()), float(error), len(differences)


def _estimates(run: Run, split: str) -> tuple[list[tuple[int, int]], list[float]] | None:
    """Images and generation steps of the newest evaluation on a split, and their estimates."""
    names = [n for n in run.store.names(f"{run.name}/evaluations") if n.endswith(f"-{split}.npz")]
    file = run.file("evaluations", max(names, default=""))
    data = run.store.read(file) if names else None
    if data is None:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            nelbo, t, index = arrays["nelbo"], arrays["t"], arrays["index"]
        places = np.broadcast_to(index, nelbo.shape).reshape(-1)
        keys = list(zip(places.tolist(), t.reshape(-1).tolist(), strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        run.store.report_unreadable(file)
        return None
    return keys, nelbo.reshape(-1).tolist()


def _times(run: Run, attempts: Sequence[int]) -> tuple[list[Timed], list[tuple[float, int]]]:
    timed, saves = [], []
    for reading in event_log.read_all(run, dict.fromkeys(attempts, 0)).values():
        for event in reading.events:
            match event:
                case kinds.Trained(nelbo_bpd=float(bpd)):
                    timed.append(Timed(event.time, event.step, bpd))
                case kinds.Saved():
                    saves.append((event.time, event.step))
    return sorted(timed), sorted(saves)


def _thinned(points: list[Timed]) -> list[Timed]:
    step = -(-len(points) // MOST_POINTS) or 1
    return points[::step]


def _samples(run: Run) -> list[Sample]:
    by_step: dict[int, list[str]] = {}
    for name in run.store.names(f"{run.name}/samples"):
        step = name.partition(".")[0].partition("-")[0]
        if step.isascii() and step.isdigit():
            by_step.setdefault(int(step), []).append(name)
    steps = sorted(by_step)
    if len(steps) > MOST_SAMPLES:
        chosen = np.linspace(0, len(steps) - 1, MOST_SAMPLES).round().astype(int)
        steps = [steps[i] for i in chosen]
    found = [Sample(step, _contents(run, "samples", sorted(by_step[step]))) for step in steps]
    return [sample for sample in found if sample.files]


def _contents(run: Run, folder: str, names: Sequence[str]) -> list[tuple[str, str]]:
    contents = []
    for name in names:
        kind = name.rpartition(".")[2]
        data = run.store.read(run.file(folder, name))
        if data is None or len(data) > MOST_BYTES:
            continue
        if kind == "txt":
            contents.append((kind, data.decode(errors="replace")))
        elif kind in MIME:
            contents.append((kind, _url(kind, data)))
    return contents


def _url(kind: str, data: bytes) -> str:
    return f"data:{MIME[kind]};base64,{base64.b64encode(data).decode()}"


def _plots(run: Run) -> dict[str, str]:
    names = [name for name in run.store.names(f"{run.name}/plots") if name.endswith(".png")]
    files = {name: run.store.read(run.file("plots", name)) for name in names}
    return {
        name.removesuffix(".png"): _url("png", data)
        for name, data in files.items()
        if data and len(data) <= MOST_BYTES
    }


def _policies(run: Run) -> tuple[list[float] | None, list[dict[str, Any]]]:
    """The measured losses and the policies of the newest checkpoint that has any."""
    names = run.store.names(f"{run.name}/policies")
    steps = {int(m[1]): m[0] for n in names if (m := re.fullmatch(r"\d+-(\d+)\.json", n))}
    if not steps:
        return None, []
    content = run.store.read_record(f"{run.name}/policies/{steps[max(steps)]}") or {}
    losses, policies = content.get("L"), content.get("policies")
    is_curve = isinstance(losses, list) and all(finite(x) is not None for x in losses)
    listed = policies if isinstance(policies, list) else []
    found = [p for p in listed if isinstance(p, dict) and whole(p, "budget") is not None]
    return losses if is_curve else None, found
