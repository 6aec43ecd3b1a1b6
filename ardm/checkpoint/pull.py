"""Taking a checkpoint away: a directory that holds all that is needed to use it alone.

<to>/job.yaml            the frozen spec
<to>/pulled.json         run, step, attempt, digest, shape and classes of the data
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
from ardm.store import durable, registry
from ardm.store.run_directory import Run

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
            # What counts is the copy: it is the one that is verified.
            return target.parent, serialization.verify(target)

        found = restore.newest_usable(run, lambda item: checkpoints.guarded(item, copy), skip)
        if found is None:
            reasons = "; ".join(f"step {item['step']}: {item['reason']}" for item in skipped)
            raise NotFound(
                f"run {run.name} has no checkpoint that can be used yet "
                f"({reasons or 'none saved'}); `ardm status {run.name}` tells what it is doing"
            )
        checkpoint, folder, metadata = found
        shape, classes = describe(spec.data)
        note = {
            "run": run.name,
            "step": checkpoint.step,
            "attempt": checkpoint.attempt,
            "digest": metadata["digest"],
            "shape": list(shape),
            "classes": classes,
        }
        (folder / NOTE).write_text(json.dumps(note, indent=1) + "\n")
        (folder / "job.yaml").write_text(spec.to_yaml())
        _put_in_place(folder, to, Path(aside))
    result = {"run": run.name, "step": checkpoint.step, "digest": metadata["digest"]}
    return result | {"to": str(to), "skipped": skipped}


def _put_in_place(folder: Path, to: Path, aside: Path) -> None:
    """Replace an earlier pull; of several pulls at once the last one stays."""
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
