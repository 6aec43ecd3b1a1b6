"""Keys that end a display, read from the terminal without Enter."""

import os
import select
import sys
import termios
import time
import tty
from types import TracebackType
from typing import Any, Self


class Keys:
    """While the context is open, keys are read at once; without a terminal there are none.

    A process in the background does not read: the terminal would stop it.
    """

    def __enter__(self) -> Self:
        self._before: list[Any] | None = None
        if self.are_there:
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    @property
    def are_there(self) -> bool:
        """Whether keys can be read."""
        return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()

    def pressed(self, wanted: str, seconds: float) -> bool:
        """Wait so many seconds, or until one of the wanted keys is pressed; whether one was."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._before is None:
                time.sleep(left)
            elif select.select([sys.stdin], [], [], left)[0]:
                # `sys.stdin.read` would keep further keys in its buffer, where `select` sees none.
                keys = os.read(sys.stdin.fileno(), 64).decode(errors="replace")
                if not keys:  # the terminal is gone
                    self._before = None
                elif set(keys) & set(wanted):
                    return True
        return False
