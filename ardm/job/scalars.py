"""Reads unquoted scalars of YAML, and refuses those that YAML 1.1 and YAML 1.2 read differently.

YAML 1.1 reads `010` as 8, `1:30` as 90 and `no` as false; YAML 1.2 reads `010` as 10, and the other
two as text. Both versions are in use, so such words are refused.
"""

import math
import re

import yaml

Scalar = None | bool | int | float | str

LONGEST_NUMBER = 100
"""Longest number (characters); every setting is far shorter."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OTHER_BASES = {16: re.compile(r"0x[0-9a-fA-F]+"), 8: re.compile(r"0o[0-7]+")}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_old = yaml.SafeLoader("")
_OLD_KINDS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float"))


class AmbiguousError(ValueError):
    """The word has two meanings, or the number is longer than any setting."""


def read(text: str) -> Scalar:
    """The value of an unquoted scalar; a date is read as text.

    Raises:
        AmbiguousError: YAML 1.1 and YAML 1.2 read it differently, or it has too many digits.
    """
    patterns = (_INT, _FLOAT, *_OTHER_BASES.values())
    if len(text) > LONGEST_NUMBER:
        if any(pattern.fullmatch(text) for pattern in patterns):
            raise AmbiguousError(
                f"expected a number of at most {LONGEST_NUMBER} digits, got {len(text)} of them; "
                "write a shorter one, or put text in quotes"
            )
        return text
    new, old = _yaml_1_2(text), _yaml_1_1(text)
    # YAML 1.1 reads a float such as 1e-3 as text. No setting for text would take the float instead.
    if _same(new, old) or (isinstance(new, float) and isinstance(old, str)):
        return new
    choices = " or ".join(_written(value) for value in dict.fromkeys((old, new)))
    raise AmbiguousError(
        f"{text} is {_named(old)} in YAML 1.1 and {_named(new)} in YAML 1.2; write {choices}"
    )


def _yaml_1_2(text: str) -> Scalar:
    """The value of a scalar by YAML 1.2's core schema."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    for base, pattern in _OTHER_BASES.items():
        if pattern.fullmatch(text):
            return int(text[2:], base)
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return math.nan if special.group(3) else float(f"{special.group(1)}inf")
    return text


def _yaml_1_1(text: str) -> Scalar:
    """The value of a scalar by PyYAML, which follows YAML 1.1."""
    if text in _NULL:
        return None
    tag = _old.resolve(yaml.ScalarNode, text, (True, False))
    if tag not in _OLD_KINDS:
        return text
    try:
        value: Scalar = _old.construct_object(yaml.ScalarNode(tag, text))
    except (ValueError, OverflowError):  # `0b_` matches the pattern of a number without a digit
        return text
    return value


def _same(one: Scalar, other: Scalar) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and one == other


def _named(value: Scalar) -> str:
    return f"the text {value!r}" if isinstance(value, str) else _written(value)


def _written(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
