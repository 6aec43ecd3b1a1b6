"""Errors of file systems and their libraries, turned into errors with a message for the user."""

import os
from pathlib import Path

from ardm.errors import ArdmError, InputError, in_a_line
from ardm.filesystem import emulator
from ardm.outages import of_the_store
from ardm.store import addresses


def as_error(
    error: BaseException, store: str | None, unreachable: type[ArdmError]
) -> ArdmError | None:
    """Turn an error that ardm itself did not handle into one with a message for the user.

    Args:
        error: the error that reached the command line.
        store: address of the store; None for a command without a store.
        unreachable: class of the error that reports a failing store.

    Returns:
        An error with a message; None if the error is a bug.
    """
    if not of_the_store(error):
        return None
    reason = in_a_line(error)
    if isinstance(error, OSError) and error.filename and not _is_in(error.filename, store):
        return InputError(
            f"{os.fsdecode(error.filename)}: expected a file or directory that this process can "
            f"use, received {reason}; check its path, permissions and space"
        )
    if store is None:
        return InputError(f"a file or an address cannot be used ({reason})")
    emulated = emulator(", ") if store.startswith("g") else ""
    return unreachable(
        f"store {store}: expected a store that answers, received {reason}. Check its address"
        f"{emulated}, its permissions and your credentials, or name another store with --store "
        "or ARDM_STORE."
    )


def _is_in(filename: object, store: str | None) -> bool:
    """Whether a file is part of a store; a remote store names its objects without the protocol."""
    if store is None or not isinstance(filename, str | bytes):
        return True
    if not addresses.is_directory(store):
        return not os.fsdecode(filename).startswith("/")
    root = Path(store).expanduser().resolve()
    return Path(os.fsdecode(filename)).resolve().is_relative_to(root)
