"""Which errors are those of a store or a disk that fails, which may pass."""

_LIBRARIES = (
    "adlfs", "aiobotocore", "aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google", "requests",
    "s3fs", "urllib3",
)  # fmt: skip
"""Of remote stores. Not all of their errors are an OSError: gcsfs (2026.10) has one for a 5xx."""

_FINAL = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Answers about a path, which the same path would get again."""


def of_the_store(error: BaseException) -> bool:
    """Whether an error is one of a store that fails, which may pass."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library in _LIBRARIES


def may_pass(error: BaseException) -> bool:
    """Whether reading the same path later may succeed: nothing says that it is absent."""
    return of_the_store(error) and not isinstance(error, _FINAL)
