"""Says in words how a node differs from what it should be. Pure."""

import hashlib
from collections.abc import Collection, Iterable, Iterator

from portway.ops.differences import (
    Difference,
    FoundNode,
    file_differs,
    missing_packages,
    service_steps,
    strangers,
    stray_files,
)
from portway.render.files import ManagedFile, Service, WantedNode


def digest(text: str) -> str:
    """What stands for a text in a record."""
    return hashlib.sha256(text.encode()).hexdigest()


def key(kind: str, thing: str) -> str:
    """How a record calls a thing."""
    return f"{kind} {thing}"


def wishes(wanted: WantedNode) -> dict[str, str]:
    """What stands for the wanted state of each thing on a node, by its key."""
    return {
        **{key("package", name): "installed" for name in wanted.packages},
        **{key("file", file.path): file_wish(file) for file in wanted.files},
        **{key("sysctl", name): value for name, value in wanted.sysctls.items()},
        **{
            key("service", service.unit): wanted.file(service.config).sha256
            for service in wanted.services
        },
    }


def file_wish(file: ManagedFile) -> str:
    """What stands for a file: content, mode and owner."""
    return f"{file.sha256} {file.mode} {file.owner}:{file.group}"


def package_differences(wanted: WantedNode, found: FoundNode) -> tuple[Difference, ...]:
    """The packages that are missing or held."""
    missing = missing_packages(wanted, found)
    return (
        *(Difference("package", p, "is not installed", "installed") for p in missing),
        *(
            Difference("package", p, "is held: it gets no upgrades", "installed")
            for p in sorted(found.held)
        ),
    )


def file_difference(
    file: ManagedFile, found: FoundNode, diff: Iterable[str] = ()
) -> Difference:
    """How a file differs that does."""
    here = found.files.get(file.path)
    if here is None:
        return Difference("file", file.path, "is missing", file_wish(file))
    parts = []
    if here.sha256 != file.sha256:
        parts.append("content differs" + " (secret, not shown)" * file.secret)
    if here.mode != file.mode:
        parts.append(f"mode is {here.mode}, not {file.mode}")
    owner, ours = f"{here.owner}:{here.group}", f"{file.owner}:{file.group}"
    if owner != ours:
        parts.append(f"owner is {owner}, not {ours}")
    return Difference(
        "file",
        file.path,
        "; ".join(parts),
        file_wish(file),
        since=here.changed or None,
        diff=tuple(diff),
    )


def differing_files(
    files: Iterable[ManagedFile], found: FoundNode
) -> tuple[ManagedFile, ...]:
    """Those files that differ."""
    return tuple(file for file in files if file_differs(file, found))


def stray_differences(wanted: WantedNode, found: FoundNode) -> tuple[Difference, ...]:
    """The files that should not be there."""
    stray = stray_files(wanted, found)
    return tuple(Difference("file", path, "should not be there") for path in stray)


def sysctl_differences(wanted: WantedNode, found: FoundNode) -> tuple[Difference, ...]:
    """The kernel settings that are not in force."""
    return tuple(
        Difference("sysctl", name, f"is {found.sysctls.get(name)}, not {value}", value)
        for name, value in wanted.sysctls.items()
        if found.sysctls.get(name) != value
    )


STEPS = {
    "unmask": "is masked",
    "daemon-reload": "systemd has not read what its unit says now",
    "enable": "would not start at boot",
    "reload": "runs with another configuration than its file has",
}
"""What each step of ``service_steps`` mends."""


def service_difference(
    service: Service, wanted: WantedNode, found: FoundNode
) -> Difference | None:
    """How a unit differs; None if it runs as it should."""
    config = wanted.file(service.config)
    steps = service_steps(service, config, found)
    return described(service, config.sha256, steps, found) if steps else None


def described(
    service: Service, wish: str, steps: Collection[str], found: FoundNode
) -> Difference:
    """What the steps mend."""
    unit = found.services.get(service.unit)
    if unit is None:
        return Difference("service", service.unit, "is not there", wish)
    return Difference(
        "service",
        service.unit,
        "; ".join(_words(service, steps, found)),
        wish,
        since=unit.since if "start" in steps else None,
    )


def _words(service: Service, steps: Collection[str], found: FoundNode) -> Iterator[str]:
    unit = found.services[service.unit]
    for step in steps:
        if step == "own":
            yield f"is overridden by {', '.join(strangers(service, unit))}"
        elif step == "start":
            yield f"does not run: {unit.state}"
        elif step == "reload" and unit.loaded_sha256 is None:
            yield "was loaded by hand, so nothing says with which configuration it runs"
        elif step != "daemon-reload" or len(steps) == 1:
            yield STEPS[step]
