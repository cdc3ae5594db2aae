"""Changes of clients, each of which reloads HAProxy. Pure.

Two clients stay as they are, and streams are held on their ports. A third one comes, is
changed in each way that there is, and goes.
"""

from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

Entry = dict[str, Any]

STAY: tuple[Entry, ...] = (
    {"client_name": "client_one", "client_port": 9001},
    {"client_name": "client_two", "client_port": 9002},
)
LATE: Entry = {"client_name": "late", "client_port": 9025}
MOVED = LATE | {"app_port": 10_025}
PROXIED = MOVED | {"app_port": 10_026, "send_proxy": True}


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody makes of the clients file, and the deploy that it takes."""

    what: str
    deploy: str
    clients: tuple[Entry, ...]


EDITS = (
    Edit("added", "site", (*STAY, LATE)),
    Edit("allow set", "lb", (*STAY, LATE | {"allow": ["198.51.100.0/24"]})),
    Edit("app_port changed", "site", (*STAY, MOVED)),
    Edit("max_connections set", "lb", (*STAY, MOVED | {"max_connections": 50})),
    Edit("send_proxy set", "site", (*STAY, PROXIED)),
    Edit("idle_timeout set", "lb", (*STAY, PROXIED | {"idle_timeout": 3600})),
    Edit("nodes set", "site", (*STAY, PROXIED | {"nodes": ["app-1", "app-2"]})),
    Edit("removed", "site", STAY),
)


def edits(count: int) -> tuple[Edit, ...]:
    """So many changes; before the first, there are only the clients that stay."""
    return tuple(islice(cycle(EDITS), count))
