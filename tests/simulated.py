"""A bucket in memory, used by actors whose requests follow each other as a schedule says.

Every actor has a thread of its own, of which one runs at a time, from one request to the next. So a
list of turns decides how their requests interleave, who dies in between, and whose request fails
before or after it was carried out; Hypothesis chooses and shrinks such lists.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from hypothesis import strategies as st

from ardm import filesystem
from ardm.store.store import Store

FINE, DIES, FAILS, IS_LOST = range(4)
"""What becomes of the last request of a turn: it succeeds; its actor ends for ever; it fails; it is
carried out, and only the answer is lost."""


class Turn(NamedTuple):
    """Some requests of one actor."""

    actor: int
    """Its place among those that have not ended; the count goes round and round."""
    requests: int
    fate: int = FINE


def schedules(actors: int) -> st.SearchStrategy[list[Turn]]:
    """Schedules in which so many actors meet."""
    fate = st.sampled_from((FINE, FINE, FINE, DIES, FAILS, IS_LOST))
    turn = st.builds(Turn, st.integers(0, actors - 1), st.integers(1, 12), fate)
    return st.lists(turn, min_size=8, max_size=40)


class Dead(BaseException):
    """What ends an actor that dies: nothing in the program catches it."""


@dataclass
class Actor:
    """A thread of its own, which waits at each request until it is its turn."""

    name: str
    work: Callable[[], None]
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    over: bool = False
    error: BaseException | None = None
    fate: int = FINE


class Schedule:
    """Carries out actors until all have ended.

    Args:
        turns: one after the other; after the last one every actor comes to its end in turn.
    """

    def __init__(self, turns: Iterable[Turn]) -> None:
        self._turns = iter(turns)
        self._actors: dict[int, Actor] = {}
        self._back = threading.Semaphore(0)

    def run(self, *actors: Actor) -> None:
        """Carry out the actors.

        Raises:
            BaseException: the first one that an actor raised; not of those that died.
        """
        for actor in actors:
            thread = threading.Thread(target=self._live, args=(actor,), daemon=True)
            thread.start()
            self._actors[thread.ident or 0] = actor
        while living := [actor for actor in actors if not actor.over]:
            turn = next(self._turns, Turn(0, 1))
            chosen = living[turn.actor % len(living)]
            for left in reversed(range(turn.requests)):
                chosen.fate = FINE if left else turn.fate
                chosen.turn.release()
                self._back.acquire()
                if chosen.error:
                    raise chosen.error
                if chosen.over:
                    break

    @contextlib.contextmanager
    def request(self, what: str) -> Iterator[None]:
        """One request of the actor whose thread this is; others make theirs at once."""
        actor = self._actors.get(threading.get_ident())
        if actor is None:
            yield
            return
        self._back.release()
        actor.turn.acquire()
        if actor.fate == DIES:
            raise Dead
        if actor.fate == FAILS:
            raise OSError(f"{what}: refused")
        yield
        if actor.fate == IS_LOST:
            raise OSError(f"{what}: the connection ended before the answer")

    def actor(self) -> str:
        """The name of the actor whose turn it is."""
        return self._actors[threading.get_ident()].name

    def _live(self, actor: Actor) -> None:
        actor.turn.acquire()
        try:
            if actor.fate != DIES:
                actor.work()
        except Dead:
            pass
        except BaseException as error:
            actor.error = error
        finally:
            actor.over = True
            self._back.release()


class Bucket(AbstractFileSystem):
    """Objects in memory, as consistent as those of Google Cloud Storage.

    Args:
        schedule: says when a request is carried out.
        look: called after each change, with what was done and the name of the object.
    """

    protocol = "simulated"
    cachable = False

    def __init__(self, schedule: Schedule, look: Callable[[str, str], None]) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self._schedule, self._look = schedule, look

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        with self._schedule.request(f"write {path}"):
            if mode == "create" and path in self.objects:
                raise FileExistsError(path)
            self.objects[path] = bytes(value)
            self._look("write", path)

    def put(self, lpath: list[str], rpath: list[str], **_: Any) -> None:
        for source, target in zip(lpath, rpath, strict=True):
            self.pipe_file(target, Path(source).read_bytes())

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        with self._schedule.request(f"read {path}"):
            try:
                return self.objects[path]
            except KeyError:
                raise FileNotFoundError(path) from None

    def get(self, rpath: list[str], lpath: list[str], **_: Any) -> None:
        for source, target in zip(rpath, lpath, strict=True):
            Path(target).write_bytes(self.cat_file(source))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        with self._schedule.request(f"list {path}"):
            found: dict[str, dict[str, Any]] = {}
            for name, data in self.objects.items():
                if name.startswith(f"{path}/"):
                    first, slash, _rest = name[len(path) + 1 :].partition("/")
                    kind, size = ("directory", 0) if slash else ("file", len(data))
                    full = f"{path}/{first}"
                    found[full] = {"name": full, "size": size, "type": kind}
            if not found:
                raise FileNotFoundError(path)
            return list(found.values()) if detail else list(found)

    def find(self, path: str, detail: bool = False, **_: Any) -> Any:
        with self._schedule.request(f"list all of {path}"):
            found = {
                name: {"name": name, "size": len(data), "type": "file"}
                for name, data in self.objects.items()
                if name.startswith(f"{path}/")
            }
            return found if detail else list(found)

    def rm(self, path: str | list[str], recursive: bool = False, **_: Any) -> None:
        paths = [path] if isinstance(path, str) else path
        for one in paths:
            for name in self.find(one) if recursive else [one]:
                with self._schedule.request(f"remove {name}"):
                    if self.objects.pop(name, None) is not None:
                        self._look("remove", name)


def store_on(bucket: Bucket, monkeypatch: Any) -> Store:
    """A store in a bucket in memory, which reads several objects one after the other."""
    made = Store("/simulated")
    made.fs, made.root = bucket, "bucket"
    monkeypatch.setattr(filesystem, "AT_ONCE_LOCAL", 1)
    return made
