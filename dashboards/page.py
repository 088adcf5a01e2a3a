"""The frame of the report: HTML and CSS, every text escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Mapping, Sequence

from plotly.offline import get_plotlyjs

_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
"""The browser itself refuses any request. plotly's parallel coordinates compile their shaders with eval."""

STYLE = """
:root { color-scheme: light dark; --page: #f5f6f8; --card: #fff; --ink: #1f2933; --soft: #5b6876; --line: #dfe3e8;
  --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --card: #1d232a; --ink: #e6e9ed; --soft: #a3afbb;
  --line: #333c46; --link: #7db8f0; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 3.5rem; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
header, main { max-width: 1180px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
header p { margin: 2px 0 14px; color: var(--soft); }
nav { position: sticky; top: 0; z-index: 1100; background: var(--page); border-bottom: 1px solid var(--line); }
nav div { max-width: 1180px; margin: 0 auto; padding: 0 10px; display: flex; overflow-x: auto; }
nav a { padding: 11px 10px; color: var(--link); text-decoration: none; white-space: nowrap; font-size: 14px; }
nav a:hover { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 18px 20px;
  margin: 20px 0; }
h2 { font-size: 18px; line-height: 1.3; margin: 0 0 4px; }
.caption { margin: 0 0 12px; color: var(--soft); max-width: 80ch; }
.scroll { overflow-x: auto; }
.plot { background: #fff; border-radius: 6px; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 12px 24px; margin: 10px 0 0; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; margin-top: 8px; }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td { overflow-wrap: break-word; }
td:last-child { min-width: 360px; overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; white-space: nowrap; }
@media (max-width: 600px) { header, main { padding-left: 12px; padding-right: 12px; } section { padding: 14px 12px; } }
@media print { :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #ccc; } nav { display: none; }
  section { break-inside: avoid; border: 0; padding: 0; } .modebar { display: none; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<script>{plotly}</script>
</head>
<body>
<header><h1>{title}</h1><p>HeteroAKD Explorer: what makes distillation pay off for this student</p></header>
<nav><div>{links}</div></nav>
<main>{sections}</main>
</body>
</html>
"""


def render(title: str, sections: Iterable[tuple[str, str, str]]) -> str:
    """The page.

    Args:
        title: plain text.
        sections: anchor, plain text of its link, body as HTML.
    """
    sections = list(sections)
    links = "".join(f'<a href="#{anchor}">{html.escape(words)}</a>' for anchor, words, _ in sections)
    bodies = "".join(f'<section id="{anchor}">{body}</section>\n' for anchor, _, body in sections)
    return _PAGE.format(
        policy=_POLICY, title=html.escape(title), style=STYLE, plotly=get_plotlyjs(), links=links, sections=bodies
    )


def summary(values: Mapping[str, str]) -> str:
    """A definition list of plain texts."""
    pairs = (f"<div><dt>{html.escape(label)}</dt><dd>{html.escape(text)}</dd></div>" for label, text in values.items())
    return f"<h2>Summary</h2><dl>{''.join(pairs)}</dl>"


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()) -> str:
    """A titled table of plain texts; the columns named in `right` are set to the right."""
    kinds = [' class="number"' if name in right else "" for name in head]

    def line(tag: str, cells: Sequence[str]) -> str:
        inner = (f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(inner)}</tr>"

    body = "".join(line("td", row) for row in rows)
    cells = f"<table><thead>{line('th', head)}</thead><tbody>{body}</tbody></table>"
    return f'<h2>{html.escape(title)}</h2><div class="scroll">{cells}</div>'


def plot(title: str, caption: str, drawing: str, *, min_width: int) -> str:
    """A figure's title (already escaped), its caption and its HTML; narrower screens scroll it."""
    inner = f'<div class="plot" style="min-width:{min_width}px">{drawing}</div>'
    return f'<h2>{title}</h2><p class="caption">{html.escape(caption)}</p><div class="scroll">{inner}</div>'
