"""Which programs XLA compiles while a block runs, as JAX (0.12) logs them."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def compilations() -> Iterator[list[str]]:
    """The names of the programs that are compiled, or read from the cache, in the block."""
    names: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if found := re.match(r"Finished XLA compilation of (\S+)", record.getMessage()):
                names.append(found[1])

    listener, log = Listener(), logging.getLogger("jax")
    log.addHandler(listener)
    try:
        with jax.log_compiles():
            yield names
    finally:
        log.removeHandler(listener)
