"""`--set section.key=value`: changes to the tree of a job file."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ardm.job import yaml_tree
from ardm.job.yaml_tree import Document, Fault, Keys

_SHOWN = 80
"""Characters of an option that a message repeats."""


def apply(
    document: Document, options: Sequence[str], is_section: Callable[[Keys], bool]
) -> Iterator[str]:
    """Change a document; a mapping adds to the section that it names, the last option counts.

    Args:
        document: with a mapping for its tree, which is changed.
        options: `section.key=value`, where a value is read as YAML.
        is_section: whether a section may stand at a path.

    Yields:
        One sentence for each option that cannot be taken.
    """
    for option in options:
        shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in option[:_SHOWN])
        given, equals, text = option.partition("=")
        path = tuple(given.strip().split("."))
        if not equals or not all(path):
            yield f"--set {shown}: expected section.key=value"
            continue
        try:
            value = yaml_tree.read(text)
        except yaml_tree.NotYamlError as error:
            yield f"--set {shown}: {_brief(error)}"
            continue
        if reason := _unusable(value, path, is_section):
            yield f"--set {shown}: {reason}"
            continue
        document.faults += [
            Fault((*path, *fault.path), fault.text, "--set") for fault in value.faults
        ]
        # What the file left without a value has one now, be it null.
        document.empty = [keys for keys in document.empty if keys != path]
        document.empty += [(*path, *empty) for empty in value.empty]
        if value.tree is None and value.faults:
            continue
        if blocking := _put(document.tree, path, value.tree):
            yield f"--set {shown}: {blocking} is not a section"


def _unusable(value: Document, path: Keys, is_section: Callable[[Keys], bool]) -> str:
    """Why a value cannot be taken, whatever the job file holds; empty if it can."""
    if value.rest:
        return f"{value.rest!r:.40} follows the value; put a value with `#` in it in quotes"
    if () in value.empty:
        return "expected a value, got none; write null for none, or '' for an empty text"
    if is_section(path) and value.tree in (None, {}) and not value.faults:
        return "expected keys of the section, as in section={key: value}, got none"
    return ""


def _put(tree: dict[str, Any], path: Keys, value: Any) -> str:
    """Put a value where a path leads; the name of what is no section on the way, or nothing."""
    for name in path[:-1]:
        if tree.get(name) is None:
            tree[name] = {}
        if not isinstance(tree[name], dict):
            return name
        tree = tree[name]
    old = tree.get(path[-1])
    if isinstance(old, dict) and isinstance(value, dict):
        for name, item in value.items():
            _put(old, (name,), item)
    else:
        tree[path[-1]] = value
    return ""


def _brief(error: Exception) -> str:
    """A message without the lines in which the parser shows the text."""
    return str(error).splitlines()[0]
