"""HTML of the parts that a page of reports is made of."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from cnnspec.reports.report import Report

Named = tuple[int, str, Report]  # number of a stack's series, its label, its report


def section(title: str, lead: str, content: str) -> str:
    """A part of the page: title, introduction (text) and content (HTML)."""
    return f"<section><h2>{escape(title)}</h2>{f'<p>{escape(lead)}</p>' if lead else ''}{content}</section>"


def table(
    label: str, header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "numbers", tints: Sequence[str] = ()
) -> str:
    """A table in a box that scrolls. The first cell of a row is its name. Cells are HTML. `tints` are classes of rows."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    classes = [f' class="{tint}"' if tint else "" for tint in tints or [""] * len(rows)]
    body = "".join(
        f'<tr{tint}><th scope="row">{cells[0]}</th>{"".join(f"<td>{cell}</td>" for cell in cells[1:])}</tr>'
        for tint, cells in zip(classes, rows, strict=True)
    )
    return (
        f'<div class="scroll {kind}" tabindex="0" role="region" aria-label="{escape(label, quote=True)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(title: str, chart: str, data: str) -> str:
    """A chart under its title; below it the numbers, folded."""
    opened = f"<details><summary>Numbers</summary>{data}</details>"
    return f"<figure><figcaption>{escape(title)}</figcaption>{chart}{opened}</figure>"
