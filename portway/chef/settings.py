"""A cookbook's own words for what are settings here. They are guesses, and named."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from portway.chef.precedence import Resolved, value_at
from portway.chef.units import lacks_unit, seconds, unit_at
from portway.errors import PortwayError, unknown_key
from portway.model.chef import whole_number
from portway.model.settings import Settings, settings_from

WORDS: Mapping[str, tuple[str, ...]] = {
    "advert_interval": ("advert_int",),
    "app_version": ("app.version",),
    "artifactory_url": ("artifactory.url",),
    "artifactory_repository": ("artifactory.repository", "artifactory.repo"),
    "balance": ("balance_algorithm", "defaults_options.balance"),
    "connect_timeout": (
        "contimeout",
        "timeout_connect",
        "timeout.connect",
        "timeouts.connect",
        "defaults_timeouts.connect",
    ),
    "health_fall": ("check.fall", "health_check.fall"),
    "health_interval": ("check.interval", "check_interval", "httpchk_interval"),
    "health_path": ("check.path", "health_check.path", "httpchk"),
    "health_rise": ("check.rise", "health_check.rise"),
    "idle_timeout": (
        "client_timeout",
        "server_timeout",
        "timeout_client",
        "timeout_server",
        "timeout.client",
        "timeout.server",
        "timeouts.client",
        "timeouts.server",
        "defaults_timeouts.client",
        "defaults_timeouts.server",
    ),
    "max_connections": ("global_max_connections", "maxconn"),
    "threads": ("nbthread",),
    "virtual_router_id": ("router_id", "vrid"),
}
IN_SECONDS = ("advert_interval", "address_check_interval")
"""Times that are in seconds wherever they have no unit, as in keepalived's file."""
TIMES = tuple(
    name
    for name in Settings.model_fields
    if name.endswith(("_timeout", "_interval", "_after", "_wait", "_expiry"))
    and name not in IN_SECONDS
)
CONCERNED = re.compile("artifactory|haproxy|keepalived")
"""Cookbooks whose attributes are looked at, besides the one that has the clients."""


@dataclass(slots=True)
class Found:
    """Settings with the attributes that they come from."""

    values: dict[str, Any] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    guessed: set[str] = field(default_factory=set)
    """The paths that only seem to be what they were taken for."""
    notes: list[str] = field(default_factory=list)


def settings(
    resolved: Resolved, paths: Iterable[str], told: Mapping[str, str]
) -> Found:
    """The settings among attributes; ``told`` are paths by setting, with a unit.

    PortwayError if what is told is no setting, or no attribute.
    """
    found = Found()
    left = list(paths)
    for name, place in told.items():
        path, _, unit = place.partition(":")
        value = value_at(resolved.attributes, path)
        if name not in Settings.model_fields or name == "clients_file":
            raise PortwayError(
                f"--setting {name}: {unknown_key(name, Settings.model_fields)}"
            )
        if value == {} or unit not in ("", "s", "ms"):
            raise PortwayError(
                f"--setting {name}={place}: there is no such attribute",
                do="write its path, such as lb.idle, and :s or :ms if it has no unit",
            )
        if value is None:
            raise PortwayError(f"--setting {name}={place}: {path} is null")
        if name in TIMES and lacks_unit(value) and not unit:
            raise PortwayError(
                f"--setting {name}={place}: {path} has no unit",
                do=f"--setting {name}={path}:s, or :ms",
            )
        found.values[name] = _converted(name, value, unit)
        found.paths[path] = name
    for name in Settings.model_fields:
        places = list(_candidates(name, left))
        if places and name not in told and name != "clients_file":
            _guess(found, name, places, resolved)
    return found


def cookbook(path: str) -> str:
    """Whose attribute it is; empty for one at the top, which is nobody's."""
    return path.partition(".")[0] if "." in path else ""


def concerns(path: str, cookbooks: Iterable[str]) -> bool:
    """Whether an attribute is of one of these, or of a cookbook for load balancers."""
    whose = cookbook(path)
    return whose in cookbooks or bool(CONCERNED.search(whose))


def _candidates(name: str, paths: Iterable[str]) -> Iterator[str]:
    words = (name, *WORDS.get(name, ()))
    for path in paths:
        if any(f".{path}".endswith(f".{word}") for word in words):
            yield path


def _guess(found: Found, name: str, paths: list[str], resolved: Resolved) -> None:
    """Take the attributes over that have a setting's name, if they agree."""
    given = {path: value_at(resolved.attributes, path) for path in paths}
    values: dict[str, object] = {}
    for path, value in given.items():
        if value is None:  # nil: nobody has set it
            continue
        unit = unit_at(path)
        if name in TIMES and lacks_unit(value) and not unit:
            found.notes.append(
                f"{name} may be {path}, which has no unit: say "
                f"--setting {name}={path}:s, or :ms"
            )
            return
        values[path] = _converted(name, value, unit)
    if not values:
        found.notes.append(
            f"{name} may be {' or '.join(given)}, which is null: nothing is taken over"
        )
        return
    if len({repr(value) for value in values.values()}) > 1:
        found.notes.append(
            f"{name} may be {' or '.join(values)}, which differ: say which with "
            f"--setting {name}=PATH"
        )
        return
    if not _is_taken(name, next(iter(values.values()))):
        found.notes.append(
            f"{name} may be {' or '.join(values)}, whose value it does not take; "
            "see docs/reference.md"
        )
        return
    for path, value in values.items():
        found.values[name], found.paths[path] = value, name
        if path.rpartition(".")[2] != name:
            found.guessed.add(path)


def _is_taken(name: str, value: object) -> bool:
    try:
        return bool(settings_from({"clients_file": "clients.json", name: value}))
    except PortwayError:
        return False


def _converted(name: str, value: Any, unit: str) -> object:
    """A value as the setting has it; as it is if it cannot be one."""
    if name in TIMES:
        time = seconds(value, unit)
        if time is None:
            return value
        return int(time) if time == int(time) and name != "connect_timeout" else time
    if name in IN_SECONDS:
        return seconds(value, "s") or value
    if name == "balance" and isinstance(value, str):
        return value.lower()
    return whole_number(value)
