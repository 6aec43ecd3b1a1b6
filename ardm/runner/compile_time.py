"""How long this process has been compiling: JAX tells its listeners, and one of them adds up."""

import functools

import jax.monitoring

BACKEND_COMPILE = "/jax/core/compile/backend_compile_duration"
"""JAX's name for a compilation by XLA, or for its reading from the compilation cache."""


class CompileTime:
    """Adds up the compilations of this process, whichever thread they are on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        """What JAX calls for every duration that it measures."""
        if event == BACKEND_COMPILE:
            self.seconds += duration_secs


@functools.cache
def compile_time() -> CompileTime:
    """The clock of this process; it runs from the first call on.

    JAX keeps its listeners for the life of the process, so there is one clock, and who wants a span
    takes the difference of two readings.
    """
    clock = CompileTime()
    jax.monitoring.register_event_duration_secs_listener(clock.listen)
    return clock
