"""A proxy in front of the GCS server that makes trouble to order.

In a program: `with serve(emulator) as proxy:`, `proxy.inject(Fault("503", share=0.3))`, `heal()`.
As a process: `python -m ardm.chaos.storage_faults TARGET` prints two addresses, as JSON: `address`,
for the clients, and `control`, to which a fault is sent as JSON (`{"kind": "outage", "seconds":
60}`, POST), from which the counts so far are read (GET), and which ends all faults (DELETE).
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
    "429": "answered with 429, and not passed on",
    "500": "answered with 500, and not passed on",
    "503": "answered with 503, and not passed on",
    "403": "answered with 403, and not passed on",
    "slow": "passed on after `delay` seconds",
    "cut": "the connection is reset instead of an answer, and nothing is passed on",
    "lost": "passed on, and the connection is reset instead of an answer",
    "body": "passed on, and the connection is reset in the middle of the answer's body",
    "outage": "as `cut`; named for itself because it hits everything",
    "silence": "never answered: the connection stays open until the fault is over",
}

CLIENTS = ("gcsfs", "others")
"""Client libraries as their User-Agent tells them."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "expect"}


@dataclass(frozen=True)
class Fault:
    """What happens to requests.

    Attributes:
        kind: one of `KINDS`.
        share: of the requests that it happens to, drawn at random.
        seconds: until it is over by itself; None for until it is ended.
        delay: seconds, of a slow answer.
        under: only requests that name an object with this in its path (`checkpoints`).
        writes: only requests that change something.
        client: only requests of this client library, one of `CLIENTS`; empty for all.
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
    """Passes requests on to a server, but for faults.

    Args:
        target: address of the server.
        seed: of the requests that a fault with a share happens to.
    """

    def __init__(self, target: str, seed: int = 0) -> None:
        self.target = target
        self.counts: Counter[str] = Counter()
        """Requests by what became of them: `passed`, or the kind of fault."""
        self.clients: Counter[str] = Counter()
        """Requests by client library."""
        self._fault: Fault | None = None
        self._until = 0.0
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._healed = threading.Event()
        self._server = Server(self, _Passing)
        self._control = Server(self, _Control)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.control = f"http://127.0.0.1:{self._control.server_port}"
        for server in (self._server, self._control):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def inject(self, fault: Fault) -> None:
        """From now on this fault happens, and no other."""
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
        """What happens to a request; what tells that faults are over; and seconds until then."""
        with self._lock:
            fault, left = self._fault, self._until - time.monotonic()
            # An upload may name its object in the first lines of its body.
            named = fault is not None and (
                fault.under in path or fault.under.encode() in body[:2000]
            )
            named = named and not (fault and fault.writes and method in ("GET", "HEAD"))
            client = "gcsfs" if "gcsfs" in agent else "others"
            named = named and not (fault and fault.client not in ("", client))
            self.clients[client] += 1
            if fault is None or left <= 0 or not named or self._random.random() >= fault.share:
                fault = None
            self.counts[fault.kind if fault else "passed"] += 1
            return fault, self._healed, left


@contextmanager
def serve(target: str, seed: int = 0) -> Iterator[Proxy]:
    """Run a proxy in this process."""
    proxy = Proxy(target, seed)
    try:
        yield proxy
    finally:
        proxy.close()


def order(control: str, fault: Fault | None) -> dict[str, int]:
    """Tell a proxy of another process what is to happen; None ends it. Returns its counts."""
    method = "POST" if fault else "DELETE"
    body = json.dumps(asdict(fault)).encode() if fault else None
    with urllib.request.urlopen(
        urllib.request.Request(control, body, method=method), timeout=10
    ) as answer:
        return dict(json.load(answer))


class _Passing(Handler[Proxy]):
    def setup(self) -> None:
        super().setup()
        self.behind = http.client.HTTPConnection(
            urlsplit(self.server.owner.target).netloc, timeout=60
        )

    def finish(self) -> None:
        self.behind.close()
        try:
            super().finish()
        except OSError:
            return

    def pass_on(self) -> None:
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
            told = {"error": {"code": int(kind), "message": "injected", "errors": []}}
            self.answer(
                int(kind), [("Content-Type", "application/json")], json.dumps(told).encode(), False
            )
        else:
            status, headers, answer = self.ask(body)
            if kind == "lost":
                self.reset()
            else:
                self.answer(status, headers, answer, cut=kind == "body")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = pass_on  # noqa: N815

    def ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask the server behind; addresses in its answer are made to lead through here again."""
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        self.behind.request(self.command, self.path, body, headers)
        response = self.behind.getresponse()
        target, mine = self.server.owner.target, self.server.owner.address
        content = response.read()
        kept = [
            (name, value.replace(target, mine))
            for name, value in response.getheaders()
            if name.lower() not in _HOP_BY_HOP
        ]
        if "json" in (response.getheader("Content-Type") or ""):
            content = content.replace(target.encode(), mine.encode())
        return response.status, kept, content


class _Control(Handler[Proxy]):
    def do_GET(self) -> None:  # noqa: N802
        self.tell()

    def do_POST(self) -> None:  # noqa: N802
        try:
            self.server.owner.inject(Fault(**json.loads(self.body())))
        except (TypeError, ValueError) as error:
            self.answer(400, [], str(error).encode(), cut=False)
        else:
            self.tell()

    def do_DELETE(self) -> None:  # noqa: N802
        self.server.owner.heal()
        self.tell()

    def tell(self) -> None:
        body = json.dumps(dict(self.server.owner.counts)).encode()
        self.answer(200, [("Content-Type", "application/json")], body, cut=False)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A proxy that makes trouble to order.")
    parser.add_argument("target", help="address of the GCS server, http://host:port")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with serve(args.target, args.seed) as proxy:
        print(json.dumps({"address": proxy.address, "control": proxy.control}), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.exit(0)


if __name__ == "__main__":
    main()
