"""`ardm pull`: copies a checkpoint to a directory that holds all that is needed to use it.

<to>/job.yaml            the frozen spec
<to>/pulled.json         run, step, attempt, digest, shape and classes of the data; evaluations
<to>/checkpoint/         the checkpoint (Orbax)
"""

import errno
import json
import shutil
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from ardm.checkpoint import checkpoints, restore, serialization
from ardm.checkpoint.checkpoints import Checkpoint
from ardm.data.config import describe
from ardm.errors import InputError, NotFound
from ardm.events import history
from ardm.store import durable, registry
from ardm.store.run_directory import Run

NOTE = "pulled.json"


def pull(run: Run, to: Path) -> dict[str, Any]:
    """Copy the newest checkpoint that verifies; an earlier pull is replaced only by a complete one.

    Args:
        run: the run, which must exist.
        to: the directory to create; it may exist if it is empty or an earlier pull made it.

    Returns:
        The object that `ardm pull --json` prints.

    Raises:
        InputError: `to` holds something else.
        NotFound: there is no such run, or none of its checkpoints verifies.
    """
    spec = registry.read_spec(run)
    to = to.resolve()
    if to.is_file() or (to.is_dir() and any(to.iterdir()) and not (to / NOTE).exists()):
        raise InputError(f"{to} exists and is no pulled checkpoint; name another directory")
    to.parent.mkdir(parents=True, exist_ok=True)
    skipped: list[dict[str, Any]] = []

    def skip(checkpoint: Checkpoint, reason: Exception) -> None:
        skipped.append({"step": checkpoint.step, "reason": str(reason)})

    with tempfile.TemporaryDirectory(prefix=f".{to.name}.part-", dir=to.parent) as aside:

        def copy(checkpoint: Checkpoint) -> tuple[Path, dict[str, Any]]:
            target = Path(aside) / uuid.uuid4().hex / "checkpoint"
            with checkpoints.fetched(checkpoint) as folder:
                shutil.copytree(folder, target)
            # The copy is verified rather than the source, since the copy is what will be used.
            return target.parent, serialization.verify(target)

        usable = restore.newest_usable(run, lambda item: checkpoints.guarded(item, copy), skip)
        if usable is None:
            reasons = "; ".join(f"step {item['step']}: {item['reason']}" for item in skipped)
            raise NotFound(
                f"run {run.name} has no checkpoint that can be used yet "
                f"({reasons or 'none saved'}); `ardm status {run.name}` shows what it is doing"
            )
        checkpoint, folder, metadata = usable
        shape, classes = describe(spec.data)
        note = {
            "run": run.name,
            "step": checkpoint.step,
            "attempt": checkpoint.attempt,
            "digest": metadata["digest"],
            "shape": list(shape),
            "classes": classes,
            "evaluations": history.read(run).curve.newest(checkpoint.step),
        }
        (folder / NOTE).write_text(json.dumps(note, indent=1) + "\n")
        (folder / "job.yaml").write_text(spec.to_yaml())
        _put_in_place(folder, to, Path(aside))
    result = {"run": run.name, "step": checkpoint.step, "digest": metadata["digest"]}
    return result | {"to": str(to), "skipped": skipped}


def evaluations(folder: Path) -> dict[str, tuple[int, float, float]]:
    """What a pulled directory says about evaluations, as `Curve.newest` returns it.

    An earlier version wrote nothing about them.
    """
    return dict(json.loads((folder / NOTE).read_text()).get("evaluations", {}))


def _put_in_place(folder: Path, to: Path, aside: Path) -> None:
    """Replace an earlier pull; of several concurrent pulls the last one stays."""
    while True:
        if to.exists():
            with suppress(FileNotFoundError):
                to.rename(aside / uuid.uuid4().hex)
        try:
            durable.rename_tree(folder, to, to.parent)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
