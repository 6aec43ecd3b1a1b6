"""Strict JSON, which every reader accepts: NaN and infinities are written as null."""

import json
import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any) -> Any:
    """A copy of a JSON value in which every float that is not finite is None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def dumps(value: Any, indent: int | None = None) -> str:
    """The JSON text of a value.

    Args:
        value: a value made of dicts, lists, strings, numbers, booleans and None.
        indent: spaces per level; None writes one line.
    """
    return json.dumps(finite(value), indent=indent, allow_nan=False)
