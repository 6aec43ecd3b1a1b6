"""Messages for the faults of a job file: the key, what was expected and received, the remedy."""

import difflib
import re
from collections.abc import Iterator
from typing import Any

from ardm.job.sections import Sections
from ardm.job.yaml_tree import Fault, Keys


def sentences(fault: Any, sections: Sections) -> Iterator[str]:
    """Turn one fault that pydantic found into sentences for the user.

    Args:
        fault: an item of `ValidationError.errors()`.
        sections: the sections of the job file.
    """
    path, got = path_of(fault, sections), fault["input"]
    if fault["type"] == "extra_forbidden":
        yield _line(path, f"unknown key; {_nearest(_location(fault), sections)}")
    elif fault["type"] == "kind":
        kinds, kind = fault["msg"].split(", "), got.get("kind")
        near = difflib.get_close_matches(str(kind), kinds, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        expected = f"expected {', '.join(kinds[:-1])} or {kinds[-1]}"
        yield _line((*path, "kind"), f"{expected}, got {kind!r:.80}{hint}")
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


def _nearest(path: Keys, sections: Sections) -> str:
    """A suggestion for an unknown key."""
    known = sections.names(path[:-1])
    if "." in path[-1] and set(path[-1].split(".")[:1]) & set(known):
        return f"write {_nested(path[-1])}; dots are for --set"
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _nested(key: str) -> str:
    first, _, rest = key.partition(".")
    return f"{first}: {{{rest}: ...}}"


def path_of(fault: Any, sections: Sections) -> Keys:
    """The path of the key at which pydantic found a fault."""
    return sections.written(_location(fault))


def _location(fault: Any) -> Keys:
    return tuple(str(part) for part in fault["loc"])


def _line(path: Keys, text: str) -> str:
    return f"{_dotted(path)}: {text}" if path else text


def of_reader(fault: Fault) -> str:
    """Turn one fault in the YAML into a sentence."""
    return _line(*fault[:2]) + (f" ({fault.where})" if fault.where else "")


def _dotted(path: Keys) -> str:
    """A path as text; a key that is not a plain word is put in quotes."""
    return ".".join(p if re.fullmatch(r"[\w-]{1,60}", p) else f"{p!r:.60}" for p in path)


def _choices(fault: Any) -> list[str]:
    return re.findall(r"'([^']+)'", str(fault.get("ctx", {}).get("expected", "")))
