"""Tests stand on what is public: a private name is used only where a comment gives the reason.

The comment is `# private: REASON`, on the line of the name.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))

PUBLIC = {"_replace", "_asdict", "_fields", "_make"}
"""Methods of every `NamedTuple`, whose names would else be those of fields."""

BY_NAME = {"getattr", "setattr", "delattr", "hasattr"}
"""Functions, and methods of pytest's `monkeypatch`, that take the name of an attribute."""

MARKER = re.compile(r"# private: \w+")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def private_names(source: str) -> Iterator[str]:
    """Private names that a file takes from elsewhere without a reason, as LINE: NAME."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            names = [] if own else [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in BY_NAME:
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            names = [part for text in texts for part in str(text).split(".")]
        else:
            continue
        found = [name for name in names if is_private(name)]
        here = lines[node.lineno - 1 : node.end_lineno]
        if found and not any(MARKER.search(line) for line in here):
            yield f"{node.lineno}: {', '.join(found)}"


@pytest.mark.parametrize("file", FILES)
def test_a_private_name_is_used_with_a_reason_alone(file: str) -> None:
    found = list(private_names((ROOT / file).read_text()))
    assert found == [], f"tests/{file}: use what is public, or say why not (# private: REASON)"


@pytest.mark.parametrize(
    "line",
    [
        "thing._hidden",
        "thing._hidden = 1",
        "super()._hidden()",
        "from module import _hidden",
        "from package._hidden import name",
        "import package._hidden",
        "monkeypatch.setattr(thing, '_hidden', 1)",
        "monkeypatch.setattr('module._hidden', 1)",
        "getattr(thing, '_hidden')",
    ],
)
def test_every_way_to_a_private_name_is_seen(line: str) -> None:
    assert list(private_names(line)) == ["1: _hidden"]
    assert list(private_names(f"{line}  # private: no other way")) == []
    assert list(private_names(f"{line}  # private:")) == ["1: _hidden"]


@pytest.mark.parametrize("line", ["self._own", "pair._replace(a=1)", "thing.__dict__", "_mine()"])
def test_names_of_one_s_own_are_nobody_s_concern(line: str) -> None:
    assert list(private_names(line)) == []
