"""A proxy in front of the GCS server that takes its time and keeps account of requests."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

from ardm.chaos.storage_faults import Fault, Proxy

Request = tuple[str, str, float]
"""Method, path, and the moment of its arrival in monotonic seconds."""


class Counting(Proxy):
    """Answers each request after some seconds.

    Args:
        target: address of the server.
        delay: seconds.
    """

    def __init__(self, target: str, delay: float = 0.0) -> None:
        super().__init__(target)
        self.delay = delay
        self.requests: list[Request] = []
        self.hanging = ""
        """Requests that name an object with this in its path are answered only after `release`."""
        self.hangs, self._released = threading.Event(), threading.Event()
        self.refused = ""
        """Requests that name an object with this in its path are answered with 403."""

    def fate(self, method: str, path: str, body: bytes, agent: str):
        # An upload names its object in the first lines of its body.
        if named := re.search(rb'"name": *"([^"]+)"', body[:2000]):
            path = f"{path}&name={named.group(1).decode()}"
        self.requests.append((method, path, time.monotonic()))
        never = threading.Event()
        if self.hanging and self.hanging in path:
            self.hangs.set()
            self._released.wait(60.0)
        if self.refused and self.refused in path:
            return SimpleNamespace(kind="403"), never, 1.0
        return (Fault("slow", delay=self.delay) if self.delay else None), never, 1.0

    def release(self) -> None:
        """Let what hangs go on."""
        self.hanging = ""
        self._released.set()

    @contextmanager
    def account(self) -> Iterator[list[Request]]:
        """The requests of the block; filled at its end."""
        before = len(self.requests)
        made: list[Request] = []
        yield made
        made += self.requests[before:]

    def rounds(self, made: Sequence[Request]) -> int:
        """How many of the requests followed one another: the longest chain."""
        chain, free = 0, 0.0
        for _, _, arrived in sorted(made, key=lambda request: request[2]):
            if arrived >= free:
                chain, free = chain + 1, arrived + self.delay
        return chain


@contextmanager
def serve(target: str, delay: float = 0.0) -> Iterator[Counting]:
    """Run a proxy in this process."""
    proxy = Counting(target, delay)
    try:
        yield proxy
    finally:
        proxy.close()


def class_a(made: Sequence[Request]) -> list[str]:
    """Requests that cost as writes do: they write, list or copy; to delete is free."""
    return [f"{method} {path}" for method, path, _ in made if _is_class_a(method, path)]


def class_b(made: Sequence[Request]) -> list[str]:
    """Requests that cost as reads do."""
    return [f"{m} {p}" for m, p, _ in made if m in ("GET", "HEAD") and not _is_class_a(m, p)]


def _is_class_a(method: str, path: str) -> bool:
    if method == "GET":
        return bool(re.search(r"/o(\?|$)", path))
    return method in ("PUT", "PATCH") or (method == "POST" and "/batch/" not in path)
