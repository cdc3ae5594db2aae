"""What a node has, and how that differs from what it should have, as plain values.

Pure. Differences can be printed, counted and masked; ``portway.ops.operations`` makes
them go away.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from portway.render.files import ManagedFile, Service, WantedNode


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a run would change, in words. It contains nothing secret.

    Whatever changes a node or the database says which differences it is for; so a look
    at a system finds what a run would change, and nothing else.
    """

    kind: str
    """What it is about, such as ``file``."""
    thing: str
    what: str
    """What differs."""
    wish: str = ""
    """What stands for its wanted state in the record that a run leaves; "" for a thing
    that should not be there."""
    since: int | None = None
    """Since when, in seconds since 1970; None if nothing says."""
    diff: tuple[str, ...] = ()
    """Lines of a unified diff, if there is one to show."""
    node: str = ""
    """Where it is, if that is not the node on which the change is begun."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as it is on a node."""

    sha256: str
    mode: str
    owner: str
    group: str
    changed: int = field(default=0, compare=False)
    """When it was last changed, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class FoundService:
    """A unit as it is on a node."""

    active: bool
    enabled: bool
    needs_daemon_reload: bool
    """What systemd says; it does not notice the first drop-in of a unit."""
    overrides: tuple[str, ...]
    """Paths of the unit's own file and its drop-ins that systemd has read."""
    loaded_sha256: str | None
    """Hash of the config that the running process loaded; None if unknown."""
    program_replaced: bool = False
    """Whether the running program is not the file any more that its package has."""
    masked: bool = False
    """Whether systemd refuses to start it."""
    state: str = ""
    """What systemd says of it, and of its result: ``failed (exit-code)``."""
    since: int | None = field(default=None, compare=False)
    """Since when it is in that state, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class FoundNode:
    """What one read of a node found."""

    packages: frozenset[str] = frozenset()
    """Those that are completely installed."""
    held: frozenset[str] = frozenset()
    """Those that nobody may upgrade or remove: see apt-mark(8)."""
    files: Mapping[str, FoundFile] = field(default_factory=dict)
    in_folders: frozenset[str] = frozenset()
    """Paths of all files in the folders that are Portway's own."""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, FoundService] = field(default_factory=dict)
    listeners: Mapping[int, str] = field(default_factory=dict)
    """Programs other than HAProxy that listen on a TCP port, by port."""
    listening: frozenset[int] = frozenset()
    """TCP ports that any program listens on, HAProxy included."""
    interfaces: Mapping[str, str] = field(default_factory=dict)
    """Network interface of each IPv4 address."""


def missing_packages(wanted: WantedNode, found: FoundNode) -> tuple[str, ...]:
    """The packages to install, in the order asked for."""
    return tuple(p for p in wanted.packages if p not in found.packages)


def file_differs(wanted: ManagedFile, found: FoundNode) -> bool:
    """Whether content, mode or owner of a file is not what it should be."""
    return found.files.get(wanted.path) != _as_found(wanted)


def _as_found(file: ManagedFile) -> FoundFile:
    return FoundFile(file.sha256, file.mode, file.owner, file.group)


def with_file(file: ManagedFile, found: FoundNode) -> FoundNode:
    """A node as it is once a file was written that no unit is made of."""
    return replace(found, files={**found.files, file.path: _as_found(file)})


def with_loaded(service: Service, config: ManagedFile, found: FoundNode) -> FoundNode:
    """A node as it is once a unit that runs there has loaded its configuration."""
    unit = replace(found.services[service.unit], loaded_sha256=config.sha256)
    return replace(found, services={**found.services, service.unit: unit})


def stray_files(wanted: WantedNode, found: FoundNode) -> tuple[str, ...]:
    """Unwanted files in Portway's own folders, such as those of another version.

    What is on the way to a wanted file is wanted: somebody may have linked a folder.
    """
    needed = {file.path for file in wanted.files}
    needed |= {str(above) for path in needed for above in PurePosixPath(path).parents}
    return tuple(sorted(found.in_folders - needed))


def sysctls_differ(wanted: WantedNode, found: FoundNode) -> bool:
    """Whether any kernel setting is not in force."""
    return any(found.sysctls.get(k) != v for k, v in wanted.sysctls.items())


OVERRIDES = ("/etc/systemd/system/{}.service", "/etc/systemd/system.control/{}.service")
"""How the paths begin of what changes one unit. What is in /run ends with the next
boot, and what changes all units is not about ours."""


def strangers(service: Service, found: FoundService) -> tuple[str, ...]:
    """Drop-ins of a unit, and units in its place, that Portway did not write."""
    places = tuple(place.format(service.unit) for place in OVERRIDES)
    return tuple(
        path
        for path in found.overrides
        if path.startswith(places) and path != service.override and not found.masked
    )


def service_steps(
    service: Service, wanted: ManagedFile, found: FoundNode
) -> tuple[str, ...]:
    """The steps that bring a unit to the wanted state, in order.

    Some of ``unmask``, ``own`` (no overrides but Portway's), ``daemon-reload`` and
    ``enable``, then ``start`` or ``reload``. What is running decides, not what this run
    changed: if a run died between writing a config and reloading, the next one reloads.
    """
    unit = found.services.get(service.unit)
    if unit is None:
        return ("daemon-reload", "enable", "start")
    steps = []
    if unit.masked:
        steps.append("unmask")
    if strangers(service, unit):
        steps.append("own")
    if unit.needs_daemon_reload or service.override not in unit.overrides:
        steps.append("daemon-reload")
    if not unit.enabled:
        steps.append("enable")
    if not unit.active:
        steps.append("start")
    elif unit.loaded_sha256 != wanted.sha256:
        steps.append("reload")
    return tuple(steps)


def is_settled(wanted: WantedNode, found: FoundNode) -> bool:
    """Whether nothing on a node differs."""
    return not (
        missing_packages(wanted, found)
        or found.held
        or any(file_differs(file, found) for file in wanted.files)
        or stray_files(wanted, found)
        or sysctls_differ(wanted, found)
        or any(
            service_steps(service, wanted.file(service.config), found)
            for service in wanted.services
        )
    )


def differs_only_in(
    services: Iterable[Service], wanted: WantedNode, found: FoundNode
) -> bool:
    """Whether nothing differs but configurations of some units, all of which run."""
    for service in services:
        unit = found.services.get(service.unit)
        if unit is None or not unit.active:
            return False
        config = wanted.file(service.config)
        found = with_loaded(service, config, with_file(config, found))
    return is_settled(wanted, found)
