"""Tables of what a notebook has measured."""

from collections.abc import Sequence
from dataclasses import dataclass

MARKUP = str.maketrans({character: f"\\{character}" for character in "\\|*_`<>[]$"})


@dataclass(frozen=True)
class Table:
    """A table that a notebook shows below the cell whose last line it is."""

    columns: Sequence[str]
    """The titles of the columns."""
    rows: Sequence[Sequence[str]]
    """The rows, with one text for each column. The table shows every text literally."""

    def _repr_markdown_(self) -> str:
        head, *body = ([cell.translate(MARKUP) for cell in line] for line in (self.columns, *self.rows))
        return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body))

    def __repr__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )
