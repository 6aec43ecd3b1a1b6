"""Tables on the terminal: whole in a pipe, and in a narrow terminal with nothing cut off."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ardm.cli.console import out

_WIDEST = 10_000


def show_table(table: Table, spare: Sequence[str] = ()) -> None:
    """Print a table.

    A pipe or a file gets it at its full width, one line for each row. In a terminal that is too
    narrow the columns named in `spare` are left out, one after another; if that does not suffice,
    each row becomes a block of lines. A table without headings, of names and values, is folded.

    Args:
        table: the table.
        spare: headings of columns that can be missed, the first one to leave out first.
    """
    if not out.is_terminal:
        width = max(_width(table), 1)
        Console(file=out.file, width=width, highlight=False).print(table)
        return
    out.print(_fitted(table, spare, out.width) if table.show_header else table)


def _fitted(table: Table, spare: Sequence[str], width: int) -> RenderableType:
    fewer = table
    for heading in spare:
        if _width(fewer) <= width:
            break
        fewer = _without(fewer, heading)
    return fewer if _width(fewer) <= width else _blocks(table)


def _width(table: Table) -> int:
    """The width of a table of which nothing is folded."""
    wide = Console(width=_WIDEST)
    return Measurement.get(wide, wide.options, table).maximum


def _without(table: Table, heading: str) -> Table:
    kept = [column for column in table.columns if column.header != heading]
    fewer = Table(box=None, pad_edge=False, header_style=table.header_style)
    for column in kept:
        fewer.add_column(column.header, justify=column.justify, no_wrap=column.no_wrap)
    for row in zip(*(column.cells for column in kept), strict=True):
        fewer.add_row(*row)
    return fewer


def _blocks(table: Table) -> Group:
    """Each row as lines: its first cell, and below it each other one with its heading."""
    lines: list[Text] = []
    for first, *others in zip(*(column.cells for column in table.columns), strict=True):
        lines.append(_text(first, "bold"))
        for column, cell in zip(table.columns[1:], others, strict=True):
            if text := _text(cell):
                lines.append(Text(f"  {column.header} ").append_text(text))
    return Group(*lines)


def _text(cell: RenderableType, style: str = "") -> Text:
    text = cell.copy() if isinstance(cell, Text) else Text.from_markup(str(cell))
    text.stylize(style)
    return text
