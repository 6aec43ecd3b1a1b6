"""Google's metadata server, which tells a machine that it will be taken away."""

import http.client
import logging
import os
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
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
        if _is_definite(error.reason):
            raise Absent(str(error.reason)) from error
        raise
    except (http.client.HTTPException, UnicodeDecodeError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _is_definite(reason: object) -> bool:
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
