"""The clients and their ports, read from a JSON file and checked one by one.

Pure except for ``read_clients``, which reads the one file it is given. What can only be
checked against the stack or the settings is checked in ``portway.model.problems``.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from portway.errors import Problem, refuse_if_any, unknown_key
from portway.model.chef import (
    KEYS,
    allowed_network,
    attributes,
    whole_number,
    without_comments,
)
from portway.model.fields import (
    HAPROXY_NAME,
    LONGEST_TIMEOUT,
    Balance,
    Mode,
    Name,
    Network,
    NodeAddress,
    OneLine,
    Port,
    Seconds,
)
from portway.model.validation import model_problems

_Number = BeforeValidator(whole_number)
_RetireAfter = Annotated[int, Field(ge=0, le=LONGEST_TIMEOUT), _Number] | None


class _Entry(BaseModel):
    """Entries are refused when a key is unknown or a value of another type."""

    # Built when first used, so that importing this stays cheap.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, defer_build=True
    )


class Client(_Entry):
    """One client: a port of the load balancers and how its connections are served."""

    client_name: Name = Field(
        description="Name of the frontend, and so of statistics, logs and metrics."
    )
    client_port: Annotated[Port, _Number] = Field(
        description="Port that the client connects to."
    )
    mode: Mode = Field(default="tcp", description="`tcp`, or `http` for HTTP.")
    app_port: Annotated[Port, _Number] | None = Field(
        default=None,
        description="Port on the application nodes, also within `ClientPortFrom` to "
        "`ClientPortTo`; the client's own port if absent.",
    )
    allow: (
        Annotated[
            tuple[Annotated[Network, BeforeValidator(allowed_network)], ...],
            Field(strict=False, min_length=1),
        ]
        | None
    ) = Field(
        default=None,
        description="Source networks (CIDR) that may connect; anyone if absent.",
    )
    max_connections: Annotated[int, Field(ge=1), _Number] | None = Field(
        default=None,
        description="Connections served at once; further ones wait in the kernel.",
    )
    balance: Balance | None = Field(
        default=None,
        description="HAProxy's balance algorithm; the setting `balance` if absent.",
    )
    nodes: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)] | None = (
        Field(
            default=None,
            description="Names of the application nodes that may serve; all if absent.",
        )
    )
    ordered: bool = Field(
        default=False,
        description="One active node and the rest standby: messages stay in order. "
        "The order of `nodes` is the order of preference.",
    )
    idle_timeout: Annotated[Seconds, _Number] | None = Field(
        default=None,
        description="Seconds without a byte after which a stream is closed, or a "
        "request is answered with 504; the setting `idle_timeout`, or `http_timeout` "
        "for mode http, if absent.",
    )
    retire_after: _RetireAfter = Field(
        default=None,
        description="Seconds without a byte after which a stream in an older HAProxy "
        "process is closed, `0` for never; if absent, the setting `retire_after` with "
        "mode `tcp`, and never with mode `http`.",
    )
    send_proxy: bool = Field(
        default=False,
        description="Send the client's address to the application (PROXY protocol v2).",
    )
    enabled: bool = Field(
        default=True, description="`false` keeps the entry and closes the port."
    )
    description: OneLine = Field(
        default="", description="Shown on the statistics page."
    )


class AppNode(_Entry):
    """An application node named by hand, as in the Chef attributes."""

    app_node_name: Name = Field(description="Name of the server in HAProxy.")
    app_node_ip: NodeAddress = Field(description="IPv4 address.")


@dataclass(frozen=True, slots=True)
class Clients:
    """What a clients file holds."""

    source: str
    """Name of the file, for errors."""
    clients: tuple[Client, ...]
    app_nodes: tuple[AppNode, ...] | None
    """Used instead of the nodes found in AWS; None if the file names none."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the entries that are left out."""
    warnings: tuple[str, ...] = ()
    """What the file has and nothing reads."""


def read_clients(path: Path) -> Clients:
    """The clients in a JSON file, and what is wrong with single entries.

    Raises PortwayError if the file as a whole cannot be read.
    """
    source = path.name
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        refuse_if_any(
            [Problem(str(path), "", "no such file; set clients_file to one that is")]
        )
    except (OSError, UnicodeDecodeError) as error:
        refuse_if_any([Problem(str(path), "", f"cannot be read: {error}")])
    return parse_clients(text, source)


def parse_clients(text: str, source: str) -> Clients:
    """The clients in a JSON text; ``source`` names it in errors."""
    try:
        document = json.loads(
            without_comments(text), object_pairs_hook=object_without_repeats
        )
    except ValueError as error:
        reason = f"is not valid JSON: {error}"
        if source.endswith(".rb"):
            reason = "is Ruby; name what knife role show NAME --format json prints"
        refuse_if_any([Problem(source, "", reason)])
    except RecursionError:
        refuse_if_any([Problem(source, "", "is nested too deeply to be read")])
    if not isinstance(document, dict):
        refuse_if_any([Problem(source, "", 'must be an object: {"clients": [...]}')])
    document, problems, unread = attributes(document, source)

    problems += [
        Problem(source, "", unknown_key(key, KEYS))
        for key in document
        if key not in KEYS
    ]
    clients, found = _entries(document, "clients", Client, source)
    problems += found
    problems += _repeats(document, "clients", "client_name", source)
    problems += _repeats(document, "clients", "client_port", source)
    app_nodes: tuple[AppNode, ...] | None = None
    if document.get("app_nodes") not in ([], None):  # Chef searched if it was empty
        app_nodes, found = _entries(document, "app_nodes", AppNode, source)
        problems += found
        problems += _repeats(document, "app_nodes", "app_node_name", source)
        problems += _repeats(document, "app_nodes", "app_node_ip", source)
    return Clients(source, clients, app_nodes, tuple(problems), tuple(unread))


def object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object's keys and values; ValueError if a key is there twice."""
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f'the key "{key}" appears twice in one object')
    return dict(pairs)


_Model = TypeVar("_Model", bound=_Entry)


def _entries(
    document: dict[str, Any], key: str, model: type[_Model], source: str
) -> tuple[tuple[_Model, ...], list[Problem]]:
    values = document.get(key)
    if not isinstance(values, list) or not values:
        what = "is missing; add a list" if key not in document else "must be a list"
        if values == []:
            what = "is an empty list, which is taken for a mistake; add at least one"
        return (), [Problem(source, f'"{key}"', what)]
    entries, problems = [], []
    for position, value in enumerate(values, start=1):
        label = _label(value, key, position)
        if not isinstance(value, dict):
            problems.append(Problem(source, label, "must be an object: {...}"))
            continue
        try:
            entries.append(model.model_validate(value))
        except ValidationError as error:
            problems += model_problems(error, source, label, model.model_fields)
    return tuple(entries), problems


def _label(value: object, key: str, position: int) -> str:
    """What errors call an entry: its name if it has one, else its position."""
    name_key = "client_name" if key == "clients" else "app_node_name"
    name = value.get(name_key) if isinstance(value, dict) else None
    fits = isinstance(name, str) and re.fullmatch(HAPROXY_NAME, name)
    return str(name) if fits else f"{key}[{position}]"


def _repeats(
    document: dict[str, Any], key: str, field: str, source: str
) -> list[Problem]:
    """A problem for each entry whose field repeats that of an earlier one.

    It looks at the raw entries, so that it also finds repeats among entries that
    are refused for something else.
    """
    values = document.get(key)
    first: dict[object, str] = {}
    problems = []
    for position, value in enumerate(values if isinstance(values, list) else [], 1):
        content = whole_number(value.get(field)) if isinstance(value, dict) else None
        if not isinstance(content, str | int) or isinstance(content, bool):
            continue
        label = _label(value, key, position)
        if content in first:
            what = field.rsplit("_", maxsplit=1)[-1]
            user = first[content] if first[content] != label else "an earlier entry"
            text = f"is already used by {user}; give one of them another {what}"
            guarded = "" if isinstance(content, int) else f"its {what} {text}"
            problems.append(Problem(source, label, f"{what} {content} {text}", guarded))
        first.setdefault(content, label)
    return problems
