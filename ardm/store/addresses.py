"""Addresses of stores: brought to one normal form, or refused with the reason."""

import re
import urllib.parse
from pathlib import Path

from fsspec import available_protocols

from ardm.errors import InputError

EXPECTED = "expected a directory, or gs://bucket/prefix (or s3://, az://)"

_ALIASES = {"gs": "gs", "gcs": "gs", "s3": "s3", "s3a": "s3", "az": "az", "abfs": "az"}
"""URL scheme -> its canonical form, for the stores that are not directories."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
"""Bucket names that Google and Amazon accept."""

_PATTERN = re.compile(r"[*?\[\]#]")
"""Characters that the bucket libraries read as glob patterns or object versions."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)


def normal_form(address: str) -> str:
    """The normal form of a store's address, the same for every spelling of it.

    >>> normal_form("gcs://bucket//runs/")
    'gs://bucket/runs'
    >>> normal_form("file:///srv/My%20Drive/")
    '/srv/My Drive'

    Args:
        address: a path, absolute or relative, which may begin with `~`; or a URL.

    Returns:
        An absolute path, or a URL without a trailing slash.

    Raises:
        InputError: the address cannot hold runs; the message has the reason.
    """
    if not address.strip():
        raise InputError(f"store {address!r} is empty: {EXPECTED} (is a variable unset?)")
    if not address.isprintable():
        raise InputError(f"store {address!r} has characters that cannot be printed: {EXPECTED}")
    match = _SCHEME.fullmatch(address)
    if match is None:
        return _directory(address)
    scheme, rest = match.group(1).lower(), match.group(2)
    if scheme == "file" and rest.startswith("/"):
        return _directory(_path_of(address))
    if rest.startswith("//") and scheme in _ALIASES:
        return _bucket(_ALIASES[scheme], rest, address)
    if rest.startswith("//") or "://" in rest:
        raise InputError(f"store {address}: {scheme}:// can hold no runs; {EXPECTED}")
    if scheme in _ALIASES or scheme in available_protocols():
        raise InputError(
            f"store {address}: {EXPECTED}; a directory of this name is ./{address}, "
            f"and an address begins with {scheme}://"
        )
    return _directory(address)


def is_directory(address: str) -> bool:
    """Whether an address in normal form names a directory."""
    return "://" not in address


def _directory(text: str) -> str:
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"store {text}: the home directory of that user is not known; {EXPECTED}"
        ) from error
    try:
        path = path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, a name that is too long
        raise InputError(f"store {text} cannot be found ({error}); {EXPECTED}") from error
    if path == Path(path.anchor):
        raise InputError(f"store {text} is the root of all files; name a directory below it")
    return str(path)


def _path_of(address: str) -> str:
    """The path that a `file:` URL names."""
    split = urllib.parse.urlsplit(address)
    if split.netloc not in ("", "localhost"):
        raise InputError(
            f"store {address} is on another machine ({split.netloc}); {EXPECTED}, for example "
            "one that is mounted here"
        )
    # Not `split.path`: a path may hold `?` and `#`, which begin other parts of a URL.
    _, _, path = address.partition(":")
    return urllib.parse.unquote(path.removeprefix("//").removeprefix("localhost"))


def _bucket(scheme: str, rest: str, address: str) -> str:
    bucket, *folders = rest.removeprefix("//").split("/")
    if "@" in bucket:
        raise InputError(
            f"store {scheme}://***@{bucket.rpartition('@')[2]}: a store's address is kept in "
            "files and lists of jobs, so it must not hold credentials; set them in the "
            "environment, and name the bucket alone"
        )
    if not bucket:
        raise InputError(f"store {address} names no bucket: {EXPECTED} (is a variable unset?)")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(
            f"store {address}: {bucket!r} is not the name of a bucket, which has 3 to 222 "
            "lower-case letters, digits, dots, - and _ (is a variable unset?)"
        )
    folders = [folder for folder in folders if folder]
    if any(folder in (".", "..") for folder in folders):
        raise InputError(f"store {address}: a bucket has no '.' and '..'; write the whole prefix")
    if special := _PATTERN.search(rest):
        raise InputError(
            f"store {address}: {special.group()!r} is taken for a pattern or a version by the "
            "libraries for buckets; choose a prefix without * ? [ ] and #"
        )
    return "/".join((f"{scheme}://{bucket}", *folders))
