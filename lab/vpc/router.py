"""Keeps the router's kernel equal to what AWS says; the only writer of its rules."""

import json
from collections.abc import Iterable
from typing import Any, Protocol

from lab.ground import namespaces, shell
from lab.plan.names import ROUTER, Lab
from lab.vpc.network import Lookup, Network, Route, render_routes
from lab.vpc.ruleset import render_ruleset


class _Line(Protocol):
    """Anything that ``ip -batch`` can put or remove."""

    def command(self, verb: str) -> str: ...


class Router:
    """The router of one lab, and what was last loaded into it."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._applied: Network | None = None

    def apply(self, network: Network, *, force: bool = False) -> None:
        """Bring the kernel to a network; packets keep flowing meanwhile.

        Nothing is done for a network that was applied last, unless ``force``: links
        that are removed take their routes with them.
        """
        if network == self._applied and not force:
            return
        self._applied = None
        routes, lookups = render_routes(network)
        self._apply_routes(routes)
        self._apply_lookups(lookups)
        inside = namespaces.inside(self._lab, ROUTER)
        shell.output([*inside, "nft", "-f", "-"], stdin=render_ruleset(network))
        self._applied = network

    def _apply_routes(self, wanted: frozenset[Route]) -> None:
        listed = self._ip("-j", "route", "show", "table", "all", "proto", "static")
        present = {route for item in listed if (route := _route(item)) is not None}
        self._change(present, wanted, "replace", "delete")

    def _apply_lookups(self, wanted: frozenset[Lookup]) -> None:
        listed = self._ip("-j", "rule", "show")
        present = {
            Lookup(item["iif"], int(item["table"])) for item in listed if "iif" in item
        }
        self._change(present, wanted, "add", "delete")

    def _change(
        self, present: Iterable[_Line], wanted: Iterable[_Line], put: str, drop: str
    ) -> None:
        lines = [line.command(put) for line in set(wanted) - set(present)]
        # A route that moved is replaced above; deleting the old one would undo it.
        kept = {_key(line) for line in wanted}
        lines += [
            line.command(drop)
            for line in set(present) - set(wanted)
            if _key(line) not in kept
        ]
        if lines:
            shell.output(
                ["ip", "-n", self._lab.namespace(ROUTER), "-batch", "-"],
                stdin="\n".join(lines) + "\n",
            )

    def _ip(self, *arguments: str) -> list[dict[str, Any]]:
        name = self._lab.namespace(ROUTER)
        answer = shell.output(["ip", "-n", name, *arguments])
        parsed: list[dict[str, Any]] = json.loads(answer or "[]")
        return parsed


def _key(line: _Line) -> object:
    return (line.table, line.destination) if isinstance(line, Route) else line


def _route(item: dict[str, Any]) -> Route | None:
    table = item.get("table", "main")
    return Route(
        table=254 if table == "main" else int(table),
        destination=item["dst"],
        device=item["dev"],
        via=item.get("gateway", ""),
    )
