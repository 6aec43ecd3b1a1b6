"""The node agent: waits for a preemption notice, then has Ray drain this node so workers save."""

import http.client
import logging
import os
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

log = logging.getLogger(__name__)

NOTICES = {"preempted": "TRUE", "maintenance-event": "TERMINATE_ON_HOST_MAINTENANCE"}
"""Metadata keys that are watched -> the value that announces the end of this machine."""

HOLD = 5
"""Seconds that the metadata server may hold a request until the value changes. If the connection
dies silently, a notice is seen up to this much later, plus `MARGIN`."""
SHORTEST = 1.0
"""Seconds between two requests to a server that does not wait for a change."""
BACK_OFF, LONGEST, LONGEST_ABSENT = 1.0, 4.0, 60.0
"""Seconds before the retry of a failed request; doubled each time, up to `LONGEST`, since a notice
comes 30 s ahead. Where no metadata server exists, `LONGEST_ABSENT` lies between two requests."""
MARGIN = 2
"""Seconds beyond `HOLD` within which the answer must arrive."""
PRODUCT = Path("/sys/class/dmi/id/product_name")
"""The file in which Linux names the machine's type: `Google Compute Engine` on Google's."""


BEAT = 1.0
"""Seconds between two checks whether the node is alive."""

DEADLINE, LEAST = 25.0, 1.0
"""Seconds from a notice to the end of the machine, and the least that Ray gets for a drain."""

DRAIN_BACK_OFF, LONGEST_DRAIN_BACK_OFF = 0.25, 2.0
"""Seconds before the retry of a failed drain; doubled each time, up to the longest."""

Notices = SimpleQueue[str]
"""A queue that a signal handler may put to: the lock of a `queue.Queue` could be held by then."""


class Value(NamedTuple):
    """The value of a metadata key, and the ETag of this version of it."""

    text: str
    etag: str


class Absent(OSError):
    """There is no metadata server, as on any machine outside Google's cloud."""


def host() -> str:
    """Host of the metadata server, with the port unless it is 80 (`GCE_METADATA_HOST`)."""
    return os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"


def expected(product: Path = PRODUCT) -> bool:
    """Whether this machine is in Google's cloud, and so has a metadata server."""
    try:
        return "Google" in product.read_text(errors="replace")
    except OSError:
        return False


def read(key: str, etag: str, hold: int = HOLD) -> Value:
    """Wait until the value of a metadata key changes, and return it.

    Args:
        key: name of the key below `instance/`.
        etag: ETag of the last value; with any other text the server answers at once.
        hold: seconds after which the server answers with the unchanged value.

    Returns:
        The value.

    Raises:
        Absent: there is no metadata server.
        OSError: the server does not answer, or its answer is malformed.
    """
    query = urllib.parse.urlencode(
        {"wait_for_change": "true", "timeout_sec": hold, "last_etag": etag}
    )
    request = urllib.request.Request(
        f"http://{host()}/computeMetadata/v1/instance/{key}?{query}",
        headers={"Metadata-Flavor": "Google"},
    )
    # Never through a proxy, which would return the metadata of its own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=hold + MARGIN) as reply:
            return Value(reply.read().decode().strip(), reply.headers.get("ETag", etag))
    except urllib.error.URLError as error:
        if is_definite(error.reason):
            raise Absent(str(error.reason)) from error
        raise
    except (http.client.HTTPException, UnicodeDecodeError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def is_definite(reason: object) -> bool:
    """Whether an error proves that there is no server; a failing resolver does not prove it."""
    if isinstance(reason, socket.gaierror):
        return reason.errno in (socket.EAI_NONAME, socket.EAI_NODATA)
    return isinstance(reason, ConnectionRefusedError)


def wait_for_notice(
    key: str,
    read: Callable[[str, str], Value] = read,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    expected: Callable[[], bool] = expected,
) -> str:
    """Watch a key until its value is a notice; errors of the server are retried without end.

    Args:
        key: one of the keys of `NOTICES`.
        read: waits for a value of the key that differs from the one with an ETag.
        sleep: waits for a number of seconds.
        clock: returns monotonic seconds.
        expected: returns whether this machine should have a metadata server, even if it cannot be
            found at the moment.

    Returns:
        The notice, in one line.
    """
    etag, pause, failing, known = "none yet", BACK_OFF, False, expected()
    while True:
        begin = clock()
        try:
            value, etag = read(key, etag)
        except OSError as error:
            absent = isinstance(error, Absent) and not known
            if not failing:
                _log_failure(key, error, absent=absent)
            sleep(LONGEST_ABSENT if absent else pause)
            failing, pause = True, min(2 * pause, LONGEST)
            continue
        if failing:
            log.info("the metadata server answers: %s is %s", key, value)
        failing, pause, known = False, BACK_OFF, True
        if value == NOTICES[key]:
            return f"{key} is {value}"
        sleep(max(SHORTEST - (clock() - begin), 0.0))


def _log_failure(key: str, error: OSError, *, absent: bool) -> None:
    if absent:
        log.info(
            "%s: no metadata server at %s (%s), as on any machine outside Google's cloud; "
            "SIGTERM alone counts as a notice here",
            key,
            host(),
            error,
        )
    else:
        log.warning("%s: the metadata server fails (%s); asking again", key, error)


def watch(
    notices: Notices,
    keys: Iterable[str] = tuple(NOTICES),
    wait: Callable[[str], str] = wait_for_notice,
) -> None:
    """Watch the metadata server on background threads, one for each key.

    Args:
        notices: queue to which each notice is put.
        keys: keys of the metadata server.
        wait: waits for the notice of a key and returns it.
    """
    for key in keys:
        thread = threading.Thread(
            target=lambda key=key: notices.put(wait(key)), name=f"ardm-{key}", daemon=True
        )
        thread.start()


def serve(
    notices: Notices,
    drain: Callable[[str, float], None],
    alive: Callable[[], bool],
    deadline: float = DEADLINE,
    beat: float = BEAT,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Wait for the first notice, then have Ray drain the node; retried until Ray accepts it.

    Args:
        notices: queue of notices from the metadata server and from signals.
        drain: has Ray drain the node; called with a message and the seconds that are left.
        alive: returns whether the node is alive.
        deadline: seconds from a notice to the end of the machine.
        beat: seconds between two checks whether the node is alive.
        clock: returns monotonic seconds.
        sleep: waits for a number of seconds.

    Returns:
        The notice; None if the node ended before it was drained.
    """
    while alive():
        try:
            notice = notices.get(timeout=beat)
        except Empty:
            continue
        log.info("notice: %s; draining this node", notice)
        end, pause = clock() + deadline, DRAIN_BACK_OFF
        while alive():
            try:
                drain(f"ardm node-agent: {notice}", max(end - clock(), LEAST))
            except Exception as error:  # Ray's client has errors of many kinds
                log.warning("%s; asking again", error)
                sleep(pause)
                pause = min(2 * pause, LONGEST_DRAIN_BACK_OFF)
                continue
            log.info("Ray drains this node")
            return notice
    log.info("the Ray node has ended, and this agent with it")
    return None
