"""A table in a terminal that is narrower than the table: forms in which each row can still be read across."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

GAP = 2
INDENT = 2
"""Blanks before further lines of a row's first column, which tell them from a new row."""
BRACKET = re.compile(r" (\[[^\]]*\])$")
"""What an interval is, at the end of a column's name."""

Lines = Sequence[Sequence[str]]


def narrow(header: Sequence[str], rows: Lines, brief: Lines, width: int) -> str:
    """The first form that fits, from the fullest to the plainest.

    Columns that are the same in every row are said once above. Then names of columns take several lines, intervals are
    shortened, cells take several lines; and at last each row becomes a record, a line a column.

    Args:
        rows: cells of at least two columns.
        brief: the same with short intervals.
    """
    kept, said = _apart(header, rows)
    header, rows, brief = [header[i] for i in kept], [[row[i] for i in kept] for row in rows], _chosen(brief, kept)
    shorter, meaning = _without_brackets(header)
    for names, cells, notes, broken in (
        (header, rows, said, False),
        (shorter, brief, [*said, *meaning], False),
        (shorter, brief, [*said, *meaning], True),
    ):
        if shown := _side_by_side(names, cells, width, broken):
            return "\n".join([*_notes(notes, width), *shown])
    return "\n".join([*_notes(said, width), *_records(header, rows, width)])


def _chosen(rows: Lines, places: Sequence[int]) -> list[list[str]]:
    return [[row[i] for i in places] for row in rows]


def _apart(header: Sequence[str], rows: Lines) -> tuple[list[int], list[str]]:
    """Places of the columns to show, and what the others say. The first column that has a name is always shown."""
    first = next((i for i, name in enumerate(header) if name), 0)
    once = [i for i in range(len(header)) if i != first and header.count(header[i]) == 1]
    alike = [i for i in once if len(rows) > 1 and len({row[i] for row in rows}) == 1]
    told = [f"{BRACKET.sub('', header[i])} {rows[0][i] or 'nothing'}" for i in alike if header[i]]
    said = [f"in every row: {'; '.join(told)}"] if told else []
    return [i for i in range(len(header)) if i not in alike], said


def _without_brackets(header: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names without what their intervals are, and that, said once; left as they are where they differ."""
    meant = {found.group(1) for name in header if (found := BRACKET.search(name))}
    if len(meant) != 1:
        return list(header), []
    return [BRACKET.sub("", name) for name in header], [f"± and [ ]: {meant.pop()[1:-1]}"]


def _notes(notes: Sequence[str], width: int) -> list[str]:
    lines = [line for note in notes for line in textwrap.wrap(note, width, subsequent_indent="  ", break_on_hyphens=False)]
    return [*lines, ""] if lines else []


def _side_by_side(header: Sequence[str], rows: Lines, width: int, broken: bool) -> list[str] | None:
    """The table, names of columns over several lines, and cells where ``broken``; None where it does not fit."""
    room = width - GAP * (len(header) - 1)
    columns = list(zip(*rows, strict=True))
    cells = [[_pieces(cell) if broken else [cell] for cell in column] for column in columns]
    names = [_pieces(name, "_.,") for name in header]
    indents = [INDENT if i == 0 else 0 for i in range(len(header))]
    least = [
        max([*map(len, name), *(_least(pieces, indent) for pieces in column)])
        for name, column, indent in zip(names, cells, indents, strict=True)
    ]
    if sum(least) > room:
        return None
    widths = [max(map(len, [name, *column])) for name, column in zip(header, columns, strict=True)]
    while sum(widths) > room:
        widest = max((i for i in range(len(widths)) if widths[i] > least[i]), key=lambda i: widths[i])
        widths[widest] -= 1
    top = [_wrapped(name, wide, 0) for name, wide in zip(names, widths, strict=True)]
    body = [[_wrapped(*one) for one in zip(row, widths, indents, strict=True)] for row in zip(*cells, strict=True)]
    height = max(map(len, top))
    top = [[""] * (height - len(name)) + name for name in top]
    widths = [max(len(line) for block in (top, *body) for line in block[i]) for i in range(len(widths))]
    return [line for block in (top, [["-" * wide] for wide in widths], *body) for line in _block(block, widths)]


def _pieces(text: str, after: str = "") -> list[str]:
    """Where a text may be broken: at blanks, which stand at the end of a piece, and after some characters."""
    return re.findall(rf"[^ {after}]*[ {after}]|[^ {after}]+", text) if after else re.findall(r"[^ ]* |[^ ]+", text) or [""]


def _least(pieces: Sequence[str], indent: int) -> int:
    """The least width in which no piece is broken."""
    return max([len(pieces[0].rstrip()), *(indent + len(piece.rstrip()) for piece in pieces[1:])], default=0)


def _wrapped(pieces: Sequence[str], width: int, indent: int) -> list[str]:
    lines = [""]
    for piece in pieces:
        if lines[-1].strip() and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append(" " * indent)
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def _block(cells: Lines, widths: Sequence[int]) -> list[str]:
    """The lines of a row whose cells have several."""
    height = max(map(len, cells))
    padded = [[*cell, *[""] * (height - len(cell))] for cell in cells]
    joined = [
        (" " * GAP).join(part.ljust(wide) for part, wide in zip(line, widths, strict=True))
        for line in zip(*padded, strict=True)
    ]
    return [line.rstrip() for line in joined]


def _records(header: Sequence[str], rows: Lines, width: int) -> list[str]:
    """Each row as a record: what the first column with a name says, and a line a column below it."""
    first = next((i for i, name in enumerate(header) if name), 0)
    wide = max((len(name) for i, name in enumerate(header) if i != first), default=0)
    hanging = " " * (wide + 4) if wide + 12 < width else " " * 4
    lines: list[str] = []
    for row in rows:
        lines += ["", *textwrap.wrap(row[first], width, break_on_hyphens=False)]
        for i, name in enumerate(header):
            if i != first and row[i]:
                text = f"  {name.ljust(wide)}  {row[i]}"
                lines += textwrap.wrap(text, width, subsequent_indent=hanging, break_on_hyphens=False)
    return lines[1:]
