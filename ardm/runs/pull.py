"""Taking a checkpoint away: a directory that holds all that is needed to use it alone.

<to>/job.yaml            the frozen spec
<to>/pulled.json         run, step, attempt, digest, shape and classes of the data
<to>/checkpoint/         the checkpoint (Orbax)
"""

import json
import shutil
from pathlib import Path
from typing import Any

from ardm.data.config import describe
from ardm.errors import InputError, NotFound
from ardm.runs import catalogue, checkpoints, state_files
from ardm.runs.layout import Run

NOTE = "pulled.json"


def pull(run: Run, to: Path) -> dict[str, Any]:
    """Copy the newest checkpoint that verifies; what is at `to` is replaced only when all is there.

    Args:
        run: an existing run.
        to: a new directory, or one that an earlier pull made.

    Returns:
        The object that `ardm pull --json` prints.

    Raises:
        InputError: `to` holds something else.
        NotFound: no such run, or no checkpoint of it verifies.
    """
    spec = catalogue.read_spec(run)
    to = to.resolve()
    if to.is_file() or (to.is_dir() and any(to.iterdir()) and not (to / NOTE).exists()):
        raise InputError(f"{to} exists and is no pulled checkpoint; name another directory")
    aside = to.with_name(f".{to.name}.part")
    skipped: list[dict[str, Any]] = []
    for place in checkpoints.committed(run):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            run.store.fetch_tree(place.name, aside / "checkpoint")
            # What counts is the copy: it is the one that is verified.
            found = state_files.verify(str(aside.resolve() / "checkpoint"))
        except (state_files.Damaged, FileNotFoundError) as error:
            skipped.append({"step": place.step, "reason": str(error)})
            continue
        shape, classes = describe(spec.data)
        note = {
            "run": run.name,
            "step": place.step,
            "attempt": place.attempt,
            "digest": found["digest"],
            "shape": list(shape),
            "classes": classes,
        }
        (aside / NOTE).write_text(json.dumps(note, indent=1) + "\n")
        (aside / "job.yaml").write_text(spec.to_yaml())
        shutil.rmtree(to, ignore_errors=True)
        aside.rename(to)
        told = {"run": run.name, "step": place.step, "digest": found["digest"]}
        return told | {"to": str(to), "skipped": skipped}
    shutil.rmtree(aside, ignore_errors=True)
    reasons = "; ".join(f"step {skip['step']}: {skip['reason']}" for skip in skipped)
    raise NotFound(
        f"run {run.name} has no checkpoint that can be used yet ({reasons or 'none saved'}); "
        f"`ardm status {run.name}` tells what it is doing"
    )
