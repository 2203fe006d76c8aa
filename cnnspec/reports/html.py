"""Pieces that the page of reports is made of, as HTML."""

from __future__ import annotations

from html import escape


def section(title, lead, content):
    """A titled part of the page."""
    return f"<section><h2>{escape(title)}</h2>{f'<p>{escape(lead)}</p>' if lead else ''}{content}</section>"


def table(label, header, rows, kind="numbers"):
    """A table in a box of its own that scrolls; the first cell of each row names it. Cells are HTML."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{cells[0]}</th>{"".join(f"<td>{cell}</td>" for cell in cells[1:])}</tr>' for cells in rows
    )
    return (
        f'<div class="scroll {kind}" tabindex="0" role="region" aria-label="{escape(label, quote=True)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(title, chart, data):
    """A chart under its title, with its numbers to open."""
    opened = f"<details><summary>Numbers</summary>{data}</details>"
    return f"<figure><figcaption>{escape(title)}</figcaption>{chart}{opened}</figure>"
