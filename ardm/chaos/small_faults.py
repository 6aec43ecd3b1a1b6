"""Faults that need no cluster: what happens to one process, and to the files of its run."""

import os
import random
import signal
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from ardm.checkpoint.checkpoints import Entry
from ardm.store.run_directory import Run

SIGNALS = (
    (signal.SIGTERM,),
    (signal.SIGHUP,),
    (signal.SIGINT,),
    (signal.SIGTERM, signal.SIGTERM),
    (signal.SIGHUP, signal.SIGTERM),
    (signal.SIGINT, signal.SIGTERM),
)
"""What a process manager, a terminal that closes and a shell send."""

APART = 0.02
"""Seconds between two signals."""

STRAY = ("._{}", "{} (1)", "{}~", "{}.sync-conflict", "desktop.ini")
"""What tools that copy files leave beside a file."""


def send(process: BaseProcess, signals: tuple[signal.Signals, ...]) -> None:
    """Send signals in a quick row to a process that may end meanwhile."""
    for number in signals:
        if process.pid and process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
            time.sleep(APART)


def tear(run: Run, kept: Entry, rng: random.Random) -> list[str]:
    """Damage some files of a run in a directory as power cuts, full disks and copying tools do.

    Args:
        run: nobody may write to it.
        kept: a checkpoint whose files are left alone.
        rng: chooses files and damage.

    Returns:
        What was done, a line for each file.
    """
    root = Path(run.store.path(run.name))
    safe = Path(run.store.path(kept.checkpoint.name))
    files = sorted(p for p in root.rglob("*") if p.is_file() and safe not in p.parents)
    done = []
    for path in rng.sample(files, min(rng.randint(1, 6), len(files))):
        how = rng.choice(("emptied", "cut", "zeroed", "removed", "doubled"))
        data = path.read_bytes()
        if how == "emptied":
            path.write_bytes(b"")
        elif how == "cut":
            path.write_bytes(data[: rng.randrange(len(data) + 1)])
        elif how == "zeroed":
            path.write_bytes(bytes(len(data)))
        elif how == "removed":
            path.unlink()
        else:
            path.with_name(rng.choice(STRAY).format(path.name)).write_bytes(data)
        done.append(f"{path.relative_to(root)} {how}")
    return done


def flip_a_byte(run: Run, entry: Entry, rng: random.Random) -> str:
    """Change one byte of the arrays of a checkpoint in a directory; which file it was."""
    name = max(entry.files, key=lambda file: entry.files[file])
    path = Path(run.store.path(f"{entry.checkpoint.name}/{name}"))
    data = bytearray(path.read_bytes())
    # The middle of the largest file is content, whatever the format around it.
    at = rng.randrange(len(data) // 4, 3 * len(data) // 4)
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"byte {at} of {name} of step {entry.checkpoint.step}"
