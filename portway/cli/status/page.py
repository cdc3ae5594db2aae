"""The screen as a page that needs nothing else, and is readable on a phone. Pure."""

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from portway.run.status.findings import Kind
from portway.run.status.report import Report

WORDS = {
    0: ("good", "all is well"),
    1: ("odd", "something could not be found out"),
    2: ("bad", "something is wrong"),
}
CLASSES = {Kind.WRONG: "bad", Kind.UNKNOWN: "odd", Kind.NOTE: "note"}
STATES = {
    **dict.fromkeys(("serves", "served"), "good"),
    **dict.fromkeys(("down", "stopped", "refused", "nobody serves it"), "bad"),
    **dict.fromkeys(("full", "not known", "silent"), "odd"),
}
LISTED = 200
"""How many clients are listed although nothing is wrong with them."""

STYLE = """
:root { color-scheme: light dark; --good: #16703a; --bad: #c41c1c; --odd: #8a5300; }
@media (prefers-color-scheme: dark) {
  :root { --good: #5fce85; --bad: #ff8a80; --odd: #f0b04a; }
}
body { font: 16px/1.4 system-ui, sans-serif; margin: 1rem auto; max-width: 75rem;
  padding: 0 .8rem; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; overflow-wrap: break-word; }
td, th { padding: .25rem 1rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #8884; }
th { font-weight: normal; opacity: .75; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.odd { color: var(--odd); font-weight: 600; }
code { display: block; background: #8882; padding: .3rem .5rem; border-radius: .3rem;
  margin: .2rem 0 0; font-size: .9rem; white-space: pre-wrap; }
ul { padding: 0; margin: 0; } li { margin: 0 0 .8rem; list-style: none; }
li p { margin: 0 0 .2rem; }
li p.bad, li p.odd { font-weight: normal; }
@media (min-width: 60.01rem) {
  td:not(:last-child, [data-of="backends"], [data-of="seen by"]) {
    white-space: nowrap; }
}
@media (max-width: 60rem) {
  thead { display: none; } table, tbody { display: block; overflow-wrap: anywhere; }
  tr { display: grid; grid-template-columns: 1fr 1fr; gap: .1rem .6rem;
    padding: .5rem 0; border-bottom: 1px solid #8884; }
  td { display: flex; border: 0; padding: 0; gap: .4rem; font-size: .95rem; }
  td::before { content: attr(data-of); color: CanvasText; font-weight: normal;
    opacity: .75; flex: none; min-width: 3.5rem; }
  td:first-child, td:last-child, [data-of="backends"] { grid-column: span 2; }
  td:first-child { font-weight: 600; font-size: 1rem; }
  td:first-child::before { content: none; }
  td:empty { display: none; }
}
"""


def page(found: Report) -> str:
    """The page."""
    style, words = WORDS[found.exit_status]
    seen = found.seen_at.replace("T", " ").replace("Z", " UTC")
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{escape(found.stack)}: {words}</title>\n",
            f"<style>{STYLE}</style></head><body>\n",
            f'<h1>{escape(found.stack)}: <span class="{style}">{words}</span></h1>\n',
            f"<p>{escape(found.region)}, seen at {seen}<br>\n",
            f"{escape(found.address)} ({escape(found.address_kind)}) "
            f"{escape(found.agreement)}<br>\n",
            f"last run: {escape(found.last_run or 'none')}</p>\n",
            *_findings(found),
            *_nodes(found),
            *_clients(found),
            *_servers(found),
            *_workers(found),
            "</body></html>\n",
        )
    )


def _findings(found: Report) -> Iterator[str]:
    """What is wrong or odd, and under those that one command mends that command."""
    if not found.findings:
        return
    yield "<h2>What to do</h2>\n<ul>"
    for do, texts in groupby(found.findings, lambda each: each.do):
        yield "<li>"
        for each in texts:
            yield f'<p class="{CLASSES[each.kind]}">{escape(each.text)}</p>'
        yield f"<code>{escape(do)}</code></li>\n" if do else "</li>\n"
    yield "</ul>\n"


def _nodes(found: Report) -> Iterator[str]:
    rows = (
        (
            row.name,
            row.role,
            row.zone,
            row.state,
            row.vrrp + (" + address" if row.holds_address else ""),
            row.version,
            f"{row.connections:,}" if row.role == "load-balancer" else "",
            row.note,
        )
        for row in found.nodes
    )
    heads = "node", "role", "zone", "state", "vrrp", "version", "streams", "note"
    yield from _table("Nodes", heads, rows)


def _clients(found: Report) -> Iterator[str]:
    few = len(found.clients) <= LISTED
    rows = [
        (
            row.name,
            str(row.port),
            row.state,
            f"{row.connections:,}",
            f"{row.older:,}" if row.older else "",
            row.problem if row.state != "served" else ", ".join(row.nodes),
        )
        for row in found.clients
        if few or row.state != "served"
    ]
    heads = "client", "port", "state", "streams", "older", "nodes"
    yield from _table("Clients", heads, rows)
    if len(rows) < len(found.clients):
        yield f"<p>{len(found.clients) - len(rows):,} more are served.</p>\n"


def _servers(found: Report) -> Iterator[str]:
    rows = [
        (
            row.name,
            row.state,
            ", ".join(row.seen_by),
            ", ".join(row.backends),
            row.reason,
        )
        for row in found.servers_down
    ]
    if rows:
        heads = "server", "state", "seen by", "backends", "HAProxy says"
        yield from _table("Servers that get nothing", heads, rows)


def _workers(found: Report) -> Iterator[str]:
    rows = [
        (str(row.pid), row.load_balancer, row.uptime + " ago", f"{row.connections:,}")
        for row in found.workers
    ]
    if rows:
        heads = "process", "on", "started", "streams"
        yield from _table("Older HAProxy processes", heads, rows)


def _table(
    title: str, heads: Iterable[str], rows: Iterable[Iterable[str]]
) -> Iterator[str]:
    heads = tuple(heads)
    yield f"<h2>{title}</h2>\n<table><thead><tr>"
    yield "".join(f"<th>{head}</th>" for head in heads)
    yield "</tr></thead>\n"
    for row in rows:
        cells = (
            f'<td data-of="{head}"{_class(text)}>{escape(text)}</td>'
            for head, text in zip(heads, row, strict=True)
        )
        yield f"<tr>{''.join(cells)}</tr>\n"
    yield "</table>\n"


def _class(text: str) -> str:
    return f' class="{STATES[text]}"' if text in STATES else ""
