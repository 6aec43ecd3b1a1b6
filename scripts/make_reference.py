"""Writes `docs/job-file.md`, the reference of all keys of a job file, from their docstrings.

.venv/bin/python -m scripts.make_reference
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.make_schema import schema

FILE = Path(__file__).parents[1] / "docs" / "job-file.md"

_HEAD = """\
# The job file

Every key with its type and its default; a key that is left out has its default. The page is written
by `scripts/make_reference.py` from the docstrings of the code, and a test keeps it current.
`ardm validate --json FILE` prints a job with all of its keys, and `jobs/schema.json` tells editors
the same as this page.

```yaml
job: mine
data: {dataset: mnist}
model: {net: {kind: unet, channels: 64, groups: 8}}
training: {steps: 5000, batch_size: 32}
```
"""

Schema = dict[str, Any]


def text() -> str:
    """The content of the page."""
    whole = schema()
    return _HEAD + "".join(_section("The whole file", "", whole, whole["$defs"]))


def _section(title: str, path: str, section: Schema, sections: Schema) -> Iterator[str]:
    """A table of the keys of a section, then the sections in it."""
    yield f"\n{'###' if '.' in path else '##'} {title}\n"
    if path:
        yield f"\n{_sentence(section['description'])}\n"
    fields: dict[str, Schema] = section["properties"]
    required = section.get("required", ())
    inner = {key: list(_inner(field, sections)) for key, field in fields.items()}
    yield "\n| key | type | default | meaning |\n|---|---|---|---|\n"
    for key, field in fields.items():
        cells = _cells(field, inner[key], is_required=key in required)
        yield f"| `{key}` | {' | '.join(cells)} |\n"
    for key, parts in inner.items():
        for part in parts:
            below = f"{path}.{key}" if path else key
            kind = _kind(part)
            title = f"`{below}` with `kind: {kind}`" if kind else f"`{below}`"
            yield from _section(title, below, part, sections)


def _cells(field: Schema, inner: list[Schema], *, is_required: bool) -> tuple[str, str, str]:
    """Type, default and meaning of a key."""
    meaning = _sentence(field.get("description", ""))
    if inner:
        kinds = [f"`{kind}`" for part in inner if (kind := _kind(part))]
        return f"one of {', '.join(kinds)}" if kinds else "section", "", meaning or "see below"
    default = "required" if is_required else f"`{_value(field['default'])}`"
    return _type(field), default, meaning


def _kind(section: Schema) -> str | None:
    """The kind that a section is chosen by, if it is one of several."""
    kind: str | None = section["properties"].get("kind", {}).get("const")
    return kind


def _inner(field: Schema, sections: Schema) -> Iterator[Schema]:
    """The sections that a key may hold."""
    for choice in [field, *field.get("oneOf", ())]:
        if reference := choice.get("$ref"):
            yield sections[reference.rpartition("/")[2]]


def _type(field: Schema) -> str:
    """The type of a value in words."""
    if "const" in field:
        return f"`{_value(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{_value(one)}`" for one in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"])
    kind = field["type"]
    if kind == "array":
        items = field.get("prefixItems")
        return (
            f"list of {len(items)} whole numbers" if items else f"list of {_plain(field['items'])}s"
        )
    return _plain(field) + _range(field)


def _plain(field: Schema) -> str:
    """The kind of a value without its range."""
    words = {"integer": "whole number", "null": "`null`", "boolean": "`true`, `false`"}
    return words.get(field["type"], field["type"])


def _range(field: Schema) -> str:
    """The least value, and the greatest of a fraction; other limits only keep out absurd values."""
    bounds = {"exclusiveMinimum": ">", "minimum": "≥", "maximum": "≤", "exclusiveMaximum": "<"}
    told = [
        f"{sign} {field[name]:g}"
        for name, sign in bounds.items()
        if name in field and ("Minimum" in name or name == "minimum" or field[name] <= 1)
    ]
    return f" {', '.join(told)}" if told else ""


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _sentence(words: str) -> str:
    """A docstring on one line, safe in a table."""
    return re.sub(r"\s+", " ", words).replace("|", "\\|").strip()


if __name__ == "__main__":
    FILE.write_text(text())
    print(f"{FILE.name}: {len(text())} bytes")
