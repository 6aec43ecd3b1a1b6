"""The checkpoints of a run: which exist, in what order, and how each is written and read."""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax

from ardm.checkpoint import leases, serialization
from ardm.checkpoint.serialization import COMPLETE, METADATA, Damaged
from ardm.errors import NotFound
from ardm.store import home, overrides
from ardm.store.run_directory import Run

T = TypeVar("T")

UNFINISHED_LOCALLY = ".orbax-checkpoint-tmp"
"""Suffix of a local checkpoint until its save is finished; Orbax appends more characters to it."""


@dataclass(frozen=True)
class Checkpoint:
    """The identity of a checkpoint, which need not exist."""

    run: Run
    attempt: int
    step: int

    @property
    def name(self) -> str:
        """Its path in the store."""
        return self.run.checkpoint(self.attempt, self.step)

    @property
    def uri(self) -> str:
        return self.run.store.url(self.name)


class Entry(NamedTuple):
    """A checkpoint that exists."""

    checkpoint: Checkpoint
    files: dict[str, int]
    """The size of each of its files in bytes, by name."""

    @property
    def committed(self) -> bool:
        """Whether its save was finished."""
        return serialization.is_finished(self.files)

    @property
    def bytes(self) -> int:
        """The size of all its files in bytes."""
        return sum(self.files.values())


class Unfinished(Damaged):
    """A checkpoint whose save was never finished."""


class Gone(NotFound):
    """A checkpoint that was removed while it was read, as pruning does with old ones."""


def entries(run: Run, boundaries: Sequence[int] | None = None) -> list[Entry]:
    """Every checkpoint of a run, finished or not, except local ones that are being written.

    Args:
        run: the run.
        boundaries: the result of `overrides.boundaries`, if it is known.

    Returns:
        The checkpoints, the newest first: ordered by the number of overrides before it, then by
        step and attempt.
    """
    files_of: dict[tuple[int, int], dict[str, int]] = {}
    for name, size in run.store.files(run.checkpoints_dir).items():
        if match := re.fullmatch(r"(\d{6,9})/(\d+)/(.+)", name):
            attempt, step, file = match.groups()
            files_of.setdefault((int(attempt), int(step)), {})[file] = size
    if boundaries is None:
        boundaries = overrides.boundaries(run) if files_of else []
    listed = [
        Entry(Checkpoint(run, attempt, step), files) for (attempt, step), files in files_of.items()
    ]
    return sorted(listed, key=lambda entry: rank(entry.checkpoint, boundaries), reverse=True)


def rank(checkpoint: Checkpoint, boundaries: Sequence[int]) -> tuple[int, int, int]:
    """The sort key of checkpoints: of two, the one with the larger rank is newer."""
    generation = overrides.generation(checkpoint.attempt, boundaries)
    return generation, checkpoint.step, checkpoint.attempt


def committed(run: Run) -> list[Checkpoint]:
    """All checkpoints whose save was finished, the newest first."""
    return [entry.checkpoint for entry in entries(run) if entry.committed]


def attempts(run: Run) -> list[int]:
    """The numbers of the attempts that have written checkpoints, finished or not."""
    names = run.store.names(run.checkpoints_dir)
    return [int(name) for name in names if re.fullmatch(r"\d{6,9}", name)]


def save(
    checkpoint: Checkpoint, state: Any, metadata: dict[str, Any], *, replace: bool = False
) -> int:
    """Write a checkpoint and commit it; after this returns, it survives a power cut.

    Args:
        checkpoint: the checkpoint to write.
        state: a pytree of host arrays.
        metadata: JSON values committed together with the arrays; `digest` is among them.
        replace: whether an earlier save may have left files there, which are removed first; a
            store that takes whole trees is always checked for them.

    Returns:
        The size of the checkpoint in the store, in bytes.
    """
    store = checkpoint.run.store
    if not store.takes_whole_trees:
        needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        with home.temporary_folder(needed) as temporary:
            folder = Path(temporary) / "checkpoint"
            size = serialization.write(folder, state, metadata, few_files=True)
            if replace:
                store.remove_tree(checkpoint.name)
            store.publish_tree(folder, checkpoint.name, COMPLETE)
        return size
    final = Path(store.path(checkpoint.name))
    folder = final.with_name(f"{final.name}{UNFINISHED_LOCALLY}")
    shutil.rmtree(folder, ignore_errors=True)
    size = serialization.write(folder, state, metadata, few_files=False)
    if final.exists():
        store.remove_tree(checkpoint.name)
    store.publish_tree(folder, checkpoint.name, COMPLETE)
    return size


def load(checkpoint: Checkpoint, template: Any) -> tuple[Any, dict[str, Any]]:
    """Read a checkpoint and verify its digest.

    Args:
        checkpoint: the checkpoint to read.
        template: a pytree of `jax.ShapeDtypeStruct` like the state.

    Returns:
        The state as host arrays, and the metadata.

    Raises:
        Damaged: its bytes are not those that were written; the message says how it was noticed.
        Gone: it was removed while it was read.
        InputError: it is intact, but of another model or another version of ardm.
        OSError: or another error of the file system; its bytes cannot be read.
    """
    return _read(checkpoint, lambda folder: serialization.load(folder, template))


def verify(checkpoint: Checkpoint) -> dict[str, Any]:
    """Check the digest of a checkpoint whose shapes are not known; returns its metadata.

    Raises:
        Damaged: its bytes are not those that were written; the message says how it was noticed.
        Gone: it was removed while it was read.
        OSError: or another error of the file system; its bytes cannot be read.
    """
    return _read(checkpoint, serialization.verify)


def metadata(checkpoint: Checkpoint) -> dict[str, Any]:
    """The metadata committed together with the arrays; the arrays are not read.

    Raises:
        Damaged: the metadata cannot be read, or holds no digest.
    """
    data = checkpoint.run.store.read(f"{checkpoint.name}/{METADATA}")
    if data is None:
        raise Damaged("holds no metadata")
    return serialization.parse_metadata(data)


@contextmanager
def fetched(checkpoint: Checkpoint) -> Iterator[Path]:
    """A local directory that holds the files of a checkpoint while the block runs."""
    store = checkpoint.run.store
    with leases.hold(checkpoint.run, checkpoint.attempt, checkpoint.step):
        if store.is_local:
            yield Path(store.path(checkpoint.name))
            return
        with home.temporary_folder() as temporary:
            folder = Path(temporary) / "checkpoint"
            store.fetch_tree(checkpoint.name, folder)
            yield folder


def guarded(checkpoint: Checkpoint, read: Callable[[Checkpoint], T]) -> T:
    """Call `read`; if the checkpoint was removed meanwhile, the error says so.

    Raises:
        Gone: the checkpoint was removed while it was read.
    """
    try:
        return read(checkpoint)
    except (Damaged, OSError) as error:
        # Pruning removes this file first.
        if not checkpoint.run.store.exists(f"{checkpoint.name}/{COMPLETE}"):
            raise Gone(f"checkpoint {checkpoint.uri} was removed while it was read") from error
        raise


def _read(checkpoint: Checkpoint, read: Callable[[Path], T]) -> T:
    def fetch_and_read(checkpoint: Checkpoint) -> T:
        with fetched(checkpoint) as folder:
            return read(folder)

    return guarded(checkpoint, fetch_and_read)
