"""Hears that this machine will be taken away, and has Ray drain its node: workers save in time.

Nothing in Ray asks Google's metadata server, so without an agent a spot machine's end is one more
crash to it. The agent runs beside `ray start` on every node and ends when that node ends.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue

from ardm.cluster.metadata_server import NOTICES, wait_for_notice

log = logging.getLogger(__name__)

BEAT = 1.0
"""Seconds between two looks at whether the node still runs."""

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
    drain: Callable[[str], None],
    alive: Callable[[], bool],
    beat: float = BEAT,
) -> str | None:
    """Wait for the first notice and drain the node, once.

    Args:
        notices: from the metadata server and from signals.
        drain: has Ray drain the node, with a message.
        alive: whether the node still runs.
        beat: seconds between two looks at it.

    Returns:
        The notice; None if the node ended without one.

    Raises:
        JobFailed: Ray cannot be reached or refuses.
    """
    while alive():
        try:
            notice = notices.get(timeout=beat)
        except Empty:
            continue
        log.info("notice: %s; draining this node", notice)
        drain(f"ardm node-agent: {notice}")
        log.info("Ray drains this node")
        return notice
    log.info("the Ray node has ended, and this agent with it")
    return None
