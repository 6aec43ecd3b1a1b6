"""Recognizes the errors of a failing store or disk, which may pass, so that work is retried."""

_LIBRARIES = (
    "adlfs", "aiobotocore", "aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google", "requests",
    "s3fs", "urllib3",
)  # fmt: skip
"""Libraries of remote stores. Not all of their errors are OSErrors: for a 5xx response gcsfs
(2026.10) raises an error of its own class."""

_FINAL = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Errors that the same path would raise again."""


def of_the_store(error: BaseException) -> bool:
    """Whether an error comes from a failing store or disk, and so may pass."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library in _LIBRARIES


def may_pass(error: BaseException) -> bool:
    """Whether a later read of the same path may succeed: the error does not prove it absent."""
    return of_the_store(error) and not isinstance(error, _FINAL)
