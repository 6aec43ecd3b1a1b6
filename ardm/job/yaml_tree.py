"""Reads the YAML of a job file as a tree of dicts, lists and scalars, in bounded time and memory.

PyYAML parses the text into nodes. This module reads their values itself, because PyYAML's loader
accepts all of YAML 1.1 (dates, octal numbers, sets), and expands aliases without a bound.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml
from yaml.composer import Composer, ComposerError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from ardm.job import scalars

Keys = tuple[str, ...]
"""Path of a key: the keys that lead to it from the top of the file."""

LARGEST = 32_768
"""Largest job file (characters); the longest one in this repository has 2,000."""
DEEPEST = 32
"""Largest number of levels of nesting; a job has four."""
_LARGEST_EXPANDED = 2 * LARGEST
"""Largest number of values and characters after every alias is replaced by its value."""

_STANDARD = "tag:yaml.org,2002:"
_PLAIN = "plain"
_KINDS: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
}
_LEFT_OUT = object()
"""Stands for a value that has a fault."""


class NotYamlError(ValueError):
    """The text is not valid YAML, or is larger than a job file may be."""


class Fault(NamedTuple):
    """A value or a key that is refused."""

    path: Keys
    text: str
    where: str = ""
    """The line or the option of the fault."""


@dataclass
class Document:
    """The content of a YAML text."""

    tree: Any = None
    """The tree of values, without those that have a fault."""
    faults: list[Fault] = field(default_factory=list)
    empty: list[Keys] = field(default_factory=list)
    """Paths of the keys without a value, which are None in the tree."""
    rest: str = ""
    """Text after the value, such as a comment."""


def read(text: str) -> Document:
    """Read a YAML text.

    Raises:
        NotYamlError: the text cannot be read; the first line of the message has the reason.
    """
    if len(text) > LARGEST:
        raise NotYamlError(f"expected a job of at most {LARGEST} characters, got {len(text)}")
    try:
        composer = _Composer(text)
        root = composer.get_single_node()
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # "\UFFFFFFFF" is no character
        raise NotYamlError(f"not valid YAML: {error}") from error
    document = Document(empty=[()] if root is None else [])
    if root is not None:
        tree = _Builder(document).value(root, (), ())
        document.tree = None if tree is _LEFT_OUT else tree
        document.rest = text[root.end_mark.index :].strip()
    return document


class _Composer(Reader, Scanner, Parser, Composer, BaseResolver):
    """Composes nodes; an unquoted scalar gets the tag `plain`, and its type is not resolved."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        for part in (Scanner, Parser, Composer, BaseResolver):
            part.__init__(self)
        self._depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            mark = self.peek_event().start_mark
            raise ComposerError(None, None, f"more than {DEEPEST} levels of nesting", mark)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else f"{_STANDARD}str"
        return super().resolve(kind, value, implicit)


class _Builder:
    """Builds the tree from nodes, and records the faults in the document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._left = _LARGEST_EXPANDED

    def value(self, node: Node, path: Keys, above: tuple[int, ...]) -> Any:
        """The value of a node.

        Args:
            node: the node.
            path: path of the node in the tree.
            above: ids of the nodes that contain it.
        """
        if id(node) in above:
            return self._refuse(path, node, "the value holds itself, through an alias")
        size = len(node.value) if isinstance(node, ScalarNode) else 0
        self._left -= 1 + size
        if self._left < 0:
            raise NotYamlError(
                f"the aliases stand for more than {_LARGEST_EXPANDED} values and characters"
            )
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        kind = "map" if isinstance(node, MappingNode) else "seq"
        if node.tag != f"{_STANDARD}{kind}":
            return self._refuse(path, node, _no_tag(node))
        above = (*above, id(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, path, above)
        items = [self.value(item, (*path, str(i)), above) for i, item in enumerate(node.value)]
        return _LEFT_OUT if _LEFT_OUT in items else items

    def _scalar(self, node: ScalarNode, path: Keys) -> Any:
        kind = node.tag.removeprefix(_STANDARD)
        if kind == "str":
            return self._text(node, path)
        if kind != _PLAIN and kind not in _KINDS:
            return self._refuse(path, node, _no_tag(node))
        try:
            value = scalars.read(node.value)
        except scalars.AmbiguousError as error:
            return self._refuse(path, node, str(error))
        if kind != _PLAIN and type(value) not in _KINDS[kind]:
            return self._refuse(path, node, f"{node.value!r:.60} is no {kind}; leave out the tag")
        if isinstance(value, str):
            return self._text(node, path)
        if kind == _PLAIN and node.value == "":
            self._document.empty.append(path)
        return float(value) if kind == "float" and value is not None else value

    def _text(self, node: ScalarNode, path: Keys) -> Any:
        text = _whole(node.value)
        if text is None:
            fault = "expected text, got a NUL or half of a pair of surrogates"
            return self._refuse(path, node, f"{fault} in {node.value!r:.60}")
        return text

    def _mapping(self, node: MappingNode, path: Keys, above: tuple[int, ...]) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merges: list[Node] | None = None
        for key, item in node.value:
            name = _whole(key.value) if isinstance(key, ScalarNode) else None
            if name is None:
                kind = "this text" if isinstance(key, ScalarNode) else f"a {key.id}"
                self._refuse(path, key, f"expected a name for a key, got {kind}")
                continue
            merging = key.tag == _PLAIN and name == "<<"
            if name in own or (merging and merges is not None):
                self._refuse(path, key, f"key {name!r:.60} stands twice")
            elif merging:
                merges = list(item.value) if isinstance(item, SequenceNode) else [item]
            else:
                own[name] = self.value(item, (*path, name), above)
        merged: dict[str, Any] = {}
        for source in merges or ():
            if not isinstance(source, MappingNode):
                self._refuse(path, source, "expected a mapping after `<<`, or a list of mappings")
                continue
            # The path of a merged value is below this mapping's own.
            for name, item in self._merged(source, path, above, own.keys() | merged.keys()):
                merged[name] = item
        return {k: item for k, item in {**merged, **own}.items() if item is not _LEFT_OUT}

    def _merged(
        self, source: MappingNode, path: Keys, above: tuple[int, ...], known: set[str]
    ) -> list[tuple[str, Any]]:
        """The items that a merged mapping adds to one that has the `known` keys already."""
        mapping = self.value(source, path, above)
        if mapping is _LEFT_OUT:
            return []
        return [(name, item) for name, item in mapping.items() if name not in known]

    def _refuse(self, path: Keys, node: Node, text: str) -> Any:
        self._document.faults.append(Fault(path, text, _line(node)))
        return _LEFT_OUT


def _line(node: Node) -> str:
    return f"line {node.start_mark.line + 1}"


def _no_tag(node: Node) -> str:
    tag = node.tag.replace(_STANDARD, "!!")
    return f"expected a value without the tag {tag:.60}; leave the tag out"


def _whole(text: str) -> str | None:
    """The text with pairs of surrogates joined, as in JSON; None if it has half a pair, or NUL."""
    try:
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None
    return None if "\0" in joined else joined
