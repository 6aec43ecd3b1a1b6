"""Hears that this machine will be taken away, and has Ray drain its node: workers save in time."""

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
"""Keys that are watched, and the value of each that means the end of this machine."""

HOLD = 5
"""Seconds that the server may keep a question before it answers that nothing has changed. A
connection that has died silently hides a notice for a little longer than that."""
SHORTEST = 1.0
"""Seconds between two questions to a server that does not wait for a change."""
BACK_OFF, LONGEST, LONGEST_ABSENT = 1.0, 4.0, 60.0
"""Seconds before a failed question is asked again; doubled each time, up to the longest. A notice
is 30 s long. Where a server is neither found nor to be expected, the pause is longer."""
MARGIN = 2
"""Seconds more than `HOLD` for an answer to arrive."""
PRODUCT = Path("/sys/class/dmi/id/product_name")
"""Where Linux names the machine: `Google Compute Engine` on Google's."""


BEAT = 1.0
"""Seconds between two looks at whether the node still runs."""

DEADLINE, LEAST = 25.0, 1.0
"""Seconds from a notice to the end of the machine, and the fewest that Ray is given."""

DRAIN_BACK_OFF, LONGEST_DRAIN_PAUSE = 0.25, 2.0
"""Seconds before a failed drain is asked for again; doubled each time, up to the longest."""

Notices = SimpleQueue[str]
"""May be put to from a signal handler, unlike `queue.Queue`, whose lock could be held."""


class Value(NamedTuple):
    """What the server says of a key, and the mark of this version of it."""

    text: str
    etag: str


class Absent(OSError):
    """There is no metadata server, as on any machine outside Google's cloud."""


def host() -> str:
    """Host, and port if not 80, of the metadata server (`GCE_METADATA_HOST` sets another)."""
    return os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"


def expected(product: Path = PRODUCT) -> bool:
    """Whether this is a machine of Google's, which has a metadata server."""
    try:
        return "Google" in product.read_text(errors="replace")
    except OSError:
        return False


def read(key: str, etag: str, hold: int = HOLD) -> Value:
    """Ask for a value that differs from the last one; waits for it.

    Args:
        key: below `instance/`.
        etag: of the last value; any other word is answered at once.
        hold: seconds after which the server answers with the old value.

    Returns:
        The value.

    Raises:
        Absent: nobody is there.
        OSError: no answer, or one that is none.
    """
    question = urllib.parse.urlencode(
        {"wait_for_change": "true", "timeout_sec": hold, "last_etag": etag}
    )
    request = urllib.request.Request(
        f"http://{host()}/computeMetadata/v1/instance/{key}?{question}",
        headers={"Metadata-Flavor": "Google"},
    )
    # Never through a proxy, which would answer for a machine of its own.
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
    """Whether there is no such name or nobody listens; a resolver that fails says neither."""
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
    """Watch a key until its value is a notice, through whatever happens to the server.

    Args:
        key: one of `NOTICES`.
        read: asks the server for the value of a key that differs from one with an etag.
        sleep: of seconds.
        clock: monotonic seconds.
        expected: whether this machine has such a server, even if it cannot be found just now.

    Returns:
        The notice, as a line.
    """
    etag, pause, failing, known = "none yet", BACK_OFF, False, expected()
    while True:
        begin = clock()
        try:
            value, etag = read(key, etag)
        except OSError as error:
            absent = isinstance(error, Absent) and not known
            if not failing:
                _tell(key, error, absent=absent)
            sleep(LONGEST_ABSENT if absent else pause)
            failing, pause = True, min(2 * pause, LONGEST)
            continue
        if failing:
            log.info("the metadata server answers: %s is %s", key, value)
        failing, pause, known = False, BACK_OFF, True
        if value == NOTICES[key]:
            return f"{key} is {value}"
        sleep(max(SHORTEST - (clock() - begin), 0.0))


def _tell(key: str, error: OSError, *, absent: bool) -> None:
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
    """Watch the metadata server beside the caller.

    Args:
        notices: gets the notice of each key when it comes.
        keys: of the metadata server.
        wait: returns the notice of a key when there is one.
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
    """Wait for the first notice and have the node drained, which is asked for until it is accepted.

    Args:
        notices: from the metadata server and from signals.
        drain: has Ray drain the node, with a message and the seconds that are left.
        alive: whether the node still runs.
        deadline: seconds from a notice to the end of the machine.
        beat: seconds between two looks at the node.
        clock: monotonic seconds.
        sleep: of seconds.

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
                pause = min(2 * pause, LONGEST_DRAIN_PAUSE)
                continue
            log.info("Ray drains this node")
            return notice
    log.info("the Ray node has ended, and this agent with it")
    return None
