"""Signals that end a training: they ask for a save, and no number of them cuts that save off."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ardm.runner.context import Notice

SECOND_LOOK = 1.0
"""A second Ctrl-C ends the process at once if it comes at least so many seconds after the first."""

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@contextmanager
def saving_first(notice: Notice, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Let SIGTERM, SIGHUP and SIGINT set a notice, and nothing more, however often they come.

    A process manager and a shell may both pass on the same signal, and a terminal that closes
    sends several. Only a person at a terminal can insist: with a second Ctrl-C.
    SIGHUP and SIGINT stay ignored where they were, as by `nohup` or in a script's background.

    Args:
        notice: whose reason becomes the name of the first signal.
        clock: monotonic seconds.
    """
    interrupted: float | None = None

    def take(signum: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if signum == signal.SIGINT:
            if interrupted is not None and clock() - interrupted >= SECOND_LOOK:
                signal.signal(signum, signal.SIG_DFL)
                os.kill(os.getpid(), signum)
            interrupted = clock() if interrupted is None else interrupted
        if notice.reason is None:
            notice.reason = signal.Signals(signum).name
            _write(f"{notice.reason}: saving, then ending (Ctrl-C twice ends at once)\n")

    taken = [number for number in ENDING if number == signal.SIGTERM or not _is_ignored(number)]
    before = {number: signal.signal(number, take) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def _write(text: str) -> None:
    """Write to stderr from a signal handler, which may have interrupted a buffered write."""
    with suppress(OSError):  # the terminal may have been closed
        os.write(2, text.encode())
