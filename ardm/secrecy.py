"""Secrets that a text must not show: passwords and signatures in URLs, values of variables.

Every message of an `ArdmError`, every recorded error and every line of a log passes through
`without_secrets`, since a library may put the address that it was given into its error.
"""

import logging
import os
import re
from collections.abc import Iterator

MASK = "***"

_USER = re.compile(r"(?<=://)[^/\s'\"<>]*@")
"""The user part of a URL, as in s3://key:secret@bucket; a password may itself hold an @."""

_PASSWORD = re.compile(r"://[^/\s@:]*:[^/\s]*@")

_SIGNATURE = re.compile(
    r"([?&;](?:x-(?:amz|goog)-(?:signature|credential|security-token)|sig|signature|token"
    r"|access_token|api_?key|key|password|secret)=)[^&;\s'\"<>]+",
    re.IGNORECASE,
)
"""The parameters of a URL that let its bearer in, as in https://host/file?sig=..."""

_NAMED = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CONNECTION_STRING)$")
"""The ends of the names of environment variables that hold a secret."""

_PASTED = re.compile(r'"(private_key|client_secret|refresh_token)"')
"""What the file of an account holds, in a variable that should have its path."""

_SHORTEST = 8
"""Characters of a value that is masked; a shorter one could be part of any word."""


def has_credentials(url: str) -> bool:
    """Whether a URL has a user part, as in s3://key:secret@bucket."""
    return bool(_USER.search(url))


def has_password(url: str) -> bool:
    """Whether a URL has a password or a key, and not only the name of a user."""
    return bool(_PASSWORD.search(url))


def without_secrets(text: str) -> str:
    """A text with `***` in place of what may be a secret.

    >>> without_secrets("no answer from http://ann:pw@host:8265/api")
    'no answer from http://***@host:8265/api'
    """
    for value in _values():
        text = text.replace(value, MASK)
    text = _USER.sub(f"{MASK}@", text)
    return _SIGNATURE.sub(rf"\1{MASK}", text)


def _values() -> Iterator[str]:
    """The values of environment variables that are secret; the pasted content of a file as well."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and (_NAMED.search(name) or _PASTED.search(value)):
            yield value
            # Errors may quote a single line of it.
            yield from (line for line in value.splitlines() if len(line) >= _SHORTEST)


class Formatter(logging.Formatter):
    """Formats lines of a log, which show no secret."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, with its traceback if it has one."""
        return without_secrets(super().format(record))


def log_to(handler: logging.Handler) -> logging.Handler:
    """Let a handler write lines with the time, the level and the message, without secrets."""
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler
