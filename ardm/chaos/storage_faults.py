"""A proxy in front of the GCS server that injects faults into the requests of its clients.

In a program: `with serve(emulator) as proxy:`, `proxy.inject(Fault("503", share=0.3))`,
`proxy.heal()`.

As a process: `python -m ardm.chaos.storage_faults TARGET` prints a JSON object with two addresses.
`address` is the address for the clients. `control` is the address that controls the proxy: POST
injects a fault, given as JSON (`{"kind": "outage", "seconds": 60}`); DELETE ends it; GET returns
the number of requests so far, by what was done to them.
"""

import argparse
import http.client
import json
import random
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from ardm.chaos.emulator import Handler, Server

KINDS = {
    "429": "answered with 429, and not forwarded",
    "500": "answered with 500, and not forwarded",
    "503": "answered with 503, and not forwarded",
    "403": "answered with 403, and not forwarded",
    "slow": "forwarded after `delay` seconds",
    "cut": "not forwarded; the connection is reset instead of an answer",
    "lost": "forwarded, but the connection is reset instead of an answer",
    "body": "forwarded, but the connection is reset in the middle of the answer's body",
    "outage": "the same as `cut`; used for outages that affect all requests",
    "silence": "not answered; the connection stays open until the fault is over",
}

"""What happens to a request, by kind of fault."""

CLIENTS = ("gcsfs", "others")
"""The client libraries that the proxy distinguishes, by their User-Agent."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "expect"}


@dataclass(frozen=True)
class Fault:
    """A fault of the store.

    Attributes:
        kind: the kind of fault, a key of `KINDS`.
        share: share of the requests that the fault affects, in [0, 1]; they are drawn at random.
        seconds: duration of the fault (seconds); None if it lasts until it is ended.
        delay: delay of an answer, for the kind `slow` (seconds).
        under: the fault affects only requests for objects whose path contains this text, such as
            `checkpoints`.
        writes: whether the fault affects only requests that write.
        client: the fault affects only requests of this client library, one of `CLIENTS`; empty
            for all.
    """

    kind: str
    share: float = 1.0
    seconds: float | None = None
    delay: float = 1.0
    under: str = ""
    writes: bool = False
    client: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault {self.kind!r}: expected one of {', '.join(KINDS)}")
        if self.client not in ("", *CLIENTS):
            raise ValueError(f"client {self.client!r}: expected one of {', '.join(CLIENTS)}")


class Proxy:
    """Forwards requests to a server, unless a fault affects them.

    Args:
        target: address of the server.
        seed: seed of the random choice of the requests that a fault affects.
    """

    def __init__(self, target: str, seed: int = 0) -> None:
        self.target = target
        self.counts: Counter[str] = Counter()
        """The number of requests that were `passed`, or affected by each kind of fault."""
        self.clients: Counter[str] = Counter()
        """The number of requests of each client library."""
        self._fault: Fault | None = None
        self._until = 0.0
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._healed = threading.Event()
        self._server = Server(self, _Forwarding)
        self._control = Server(self, _Control)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.control = f"http://127.0.0.1:{self._control.server_port}"
        for server in (self._server, self._control):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def inject(self, fault: Fault) -> None:
        """Begin a fault; it replaces any other."""
        with self._lock:
            self._healed.set()
            self._healed = threading.Event()
            self._fault = fault
            self._until = time.monotonic() + (fault.seconds or float("inf"))

    def heal(self) -> None:
        """End the fault."""
        with self._lock:
            self._fault = None
            self._healed.set()

    def close(self) -> None:
        self.heal()
        for server in (self._server, self._control):
            server.shutdown()
            server.server_close()

    def fate(
        self, method: str, path: str, body: bytes, agent: str
    ) -> tuple[Fault | None, threading.Event, float]:
        """Decide what happens to a request.

        Returns:
            The fault that affects it, or None; an event that is set when the fault is ended; and
            the time until the fault ends by itself (seconds).
        """
        with self._lock:
            fault, left = self._fault, self._until - time.monotonic()
            # An upload may name its object in the first lines of its body.
            affected = fault is not None and (
                fault.under in path or fault.under.encode() in body[:2000]
            )
            affected = affected and not (fault and fault.writes and method in ("GET", "HEAD"))
            client = "gcsfs" if "gcsfs" in agent else "others"
            affected = affected and not (fault and fault.client not in ("", client))
            self.clients[client] += 1
            if fault is None or left <= 0 or not affected or self._random.random() >= fault.share:
                fault = None
            self.counts[fault.kind if fault else "passed"] += 1
            return fault, self._healed, left


@contextmanager
def serve(target: str, seed: int = 0) -> Iterator[Proxy]:
    """Run a proxy in this process while the block runs."""
    proxy = Proxy(target, seed)
    try:
        yield proxy
    finally:
        proxy.close()


def control(address: str, fault: Fault | None) -> dict[str, int]:
    """Control a proxy in another process.

    Args:
        address: the `control` address of the proxy.
        fault: the fault that begins; None ends the present one.

    Returns:
        The counts of the proxy; see `Proxy.counts`.
    """
    method = "POST" if fault else "DELETE"
    body = json.dumps(asdict(fault)).encode() if fault else None
    with urllib.request.urlopen(
        urllib.request.Request(address, body, method=method), timeout=10
    ) as answer:
        return dict(json.load(answer))


class _Forwarding(Handler[Proxy]):
    def setup(self) -> None:
        super().setup()
        self.upstream = http.client.HTTPConnection(
            urlsplit(self.server.owner.target).netloc, timeout=60
        )

    def finish(self) -> None:
        self.upstream.close()
        try:
            super().finish()
        except OSError:
            return

    def forward(self) -> None:
        body = self.body()
        agent = self.headers.get("User-Agent", "")
        fault, healed, left = self.server.owner.fate(self.command, self.path, body, agent)
        kind = fault.kind if fault else ""
        if fault and kind == "slow":
            time.sleep(fault.delay)
        elif kind == "silence":
            healed.wait(min(left, threading.TIMEOUT_MAX))
        if kind in ("cut", "outage", "silence"):
            self.reset()
        elif kind.isdigit():
            error = {"code": int(kind), "message": "injected", "errors": []}
            content = json.dumps({"error": error}).encode()
            self.answer(int(kind), [("Content-Type", "application/json")], content, False)
        else:
            status, headers, answer = self.request_upstream(body)
            if kind == "lost":
                self.reset()
            else:
                self.answer(status, headers, answer, cut=kind == "body")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = forward  # noqa: N815

    def request_upstream(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Send the request to the server, and replace its address by the proxy's in the answer."""
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        self.upstream.request(self.command, self.path, body, headers)
        response = self.upstream.getresponse()
        target, address = self.server.owner.target, self.server.owner.address
        content = response.read()
        kept = [
            (name, value.replace(target, address))
            for name, value in response.getheaders()
            if name.lower() not in _HOP_BY_HOP
        ]
        if "json" in (response.getheader("Content-Type") or ""):
            content = content.replace(target.encode(), address.encode())
        return response.status, kept, content


class _Control(Handler[Proxy]):
    def do_GET(self) -> None:  # noqa: N802
        self.send_counts()

    def do_POST(self) -> None:  # noqa: N802
        try:
            self.server.owner.inject(Fault(**json.loads(self.body())))
        except (TypeError, ValueError) as error:
            self.answer(400, [], str(error).encode(), cut=False)
        else:
            self.send_counts()

    def do_DELETE(self) -> None:  # noqa: N802
        self.server.owner.heal()
        self.send_counts()

    def send_counts(self) -> None:
        body = json.dumps(dict(self.server.owner.counts)).encode()
        self.answer(200, [("Content-Type", "application/json")], body, cut=False)


def main() -> None:
    """Run a proxy until Ctrl-C."""
    parser = argparse.ArgumentParser(
        description="A proxy in front of a GCS server that injects faults."
    )
    parser.add_argument("target", help="address of the GCS server, http://host:port")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random faults")
    args = parser.parse_args()
    with serve(args.target, args.seed) as proxy:
        print(json.dumps({"address": proxy.address, "control": proxy.control}), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.exit(0)


if __name__ == "__main__":
    main()
