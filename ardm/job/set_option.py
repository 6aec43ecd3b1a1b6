"""The option `--set section.key=value`, which changes the tree of a job file."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ardm.job import yaml_tree
from ardm.job.yaml_tree import Document, Fault, Keys

_SHOWN = 80
"""Number of characters of an option that a message quotes."""


def apply(
    document: Document, options: Sequence[str], is_section: Callable[[Keys], bool]
) -> Iterator[str]:
    """Change a document by options; if two options set the same key, the later one wins.

    A mapping adds its keys to the section for which it is given.

    Args:
        document: the document, whose tree is a mapping; it is changed.
        options: the options, each `section.key=value`; the value is read as YAML.
        is_section: returns whether a path is that of a section.

    Yields:
        One sentence for each option that cannot be applied.
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
        # A key that was without a value in the file has one now, even if it is null.
        document.empty = [keys for keys in document.empty if keys != path]
        document.empty += [(*path, *empty) for empty in value.empty]
        if value.tree is None and value.faults:
            continue
        if blocking := _put(document.tree, path, value.tree):
            yield f"--set {shown}: {blocking} is not a section"


def _unusable(value: Document, path: Keys, is_section: Callable[[Keys], bool]) -> str:
    """The reason for which a value cannot be set in any job file; empty if it can."""
    if value.rest:
        return f"{value.rest!r:.40} follows the value; put a value with `#` in it in quotes"
    if () in value.empty:
        return "expected a value, got none; write null for none, or '' for an empty text"
    if is_section(path) and value.tree in (None, {}) and not value.faults:
        return "expected keys of the section, as in section={key: value}, got none"
    return ""


def _put(tree: dict[str, Any], path: Keys, value: Any) -> str:
    """Set the value at a path; return the first name on the path that is no section, or ""."""
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
    """The first line of a message, without those in which the parser quotes the text."""
    return str(error).splitlines()[0]
