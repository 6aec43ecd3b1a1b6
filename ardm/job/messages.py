"""What is wrong with a job file, in sentences that name the key, what came and what to do."""

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any

from ardm.job.yaml_tree import Fault, Keys

Names = Callable[[Keys], list[str]]


def sentences(fault: Any, names: Names) -> Iterator[str]:
    """One fault of pydantic as sentences for a person.

    Args:
        fault: one of `ValidationError.errors()`.
        names: of the keys that a section may have.
    """
    path, got = path_of(fault), fault["input"]
    if fault["type"] == "extra_forbidden":
        yield _line(path, f"unknown key; {_nearest(path, names)}")
    elif fault["type"] == "missing":
        yield _line(path, "required, but not given")
    elif fault["type"] == "value_error":
        lines = str(fault["ctx"]["error"]).splitlines()
        yield from (f"{_dotted(path)}.{line}" if path else line for line in lines)
    elif fault["type"] == "string_pattern_mismatch":
        yield _line(path, f"expected lower-case letters, digits, - and _, got {got!r:.80}")
    else:
        message = fault["msg"][0].lower() + fault["msg"][1:]
        near = difflib.get_close_matches(str(got), _choices(fault), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if fault["type"] == "int_type" and isinstance(got, float) and got.is_integer():
            hint = f"; write {got:.0f}" if abs(got) < 1e15 else ""
        elif fault["type"] == "string_type" and not isinstance(got, dict | list):
            hint = "; put text in quotes"
        yield _line(path, f"{message}, got {got!r:.80}{hint}")


def _nearest(path: Keys, names: Names) -> str:
    """What an unknown key may have been meant to be."""
    known = names(path[:-1])
    if "." in path[-1] and set(path[-1].split(".")[:1]) & set(known):
        return f"write {_nested(path[-1])}; dots are for --set"
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _nested(key: str) -> str:
    first, _, rest = key.partition(".")
    return f"{first}: {{{rest}: ...}}"


def path_of(fault: Any) -> Keys:
    """Where a fault of pydantic is."""
    return tuple(str(part) for part in fault["loc"])


def _line(path: Keys, text: str) -> str:
    return f"{_dotted(path)}: {text}" if path else text


def of_reader(fault: Fault) -> str:
    """One fault of the YAML as a sentence."""
    return _line(*fault[:2]) + (f" ({fault.where})" if fault.where else "")


def _dotted(path: Keys) -> str:
    """A path for a message; a key that is no plain word is shown in quotes."""
    return ".".join(p if re.fullmatch(r"[\w-]{1,60}", p) else f"{p!r:.60}" for p in path)


def _choices(fault: Any) -> list[str]:
    return re.findall(r"'([^']+)'", str(fault.get("ctx", {}).get("expected", "")))
