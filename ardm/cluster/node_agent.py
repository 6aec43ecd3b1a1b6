"""Hears that this machine will be taken away, and has Ray drain its node: workers save in time.

Nothing in Ray asks Google's metadata server, so without an agent a spot machine's end is one more
crash to it. The agent runs beside `ray start` on every node and ends when that node ends.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue

from ardm.cluster.metadata_server import NOTICES, wait_for_notice

log = logging.getLogger(__name__)

BEAT = 1.0
"""Seconds between two looks at whether the node still runs."""

DEADLINE, LEAST = 25.0, 1.0
"""Seconds from a notice to the end of the machine, and the fewest that Ray is given."""

BACK_OFF, LONGEST = 0.25, 2.0
"""Seconds before a failed drain is asked for again; doubled each time, up to the longest."""

Notices = SimpleQueue[str]
"""May be put to from a signal handler, unlike `queue.Queue`, whose lock could be held."""


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
        end, pause = clock() + deadline, BACK_OFF
        while alive():
            try:
                drain(f"ardm node-agent: {notice}", max(end - clock(), LEAST))
            except Exception as error:  # Ray's client has errors of many kinds
                log.warning("%s; asking again", error)
                sleep(pause)
                pause = min(2 * pause, LONGEST)
                continue
            log.info("Ray drains this node")
            return notice
    log.info("the Ray node has ended, and this agent with it")
    return None
