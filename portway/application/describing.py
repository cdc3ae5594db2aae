"""Says in words what must be done to an application node. Pure."""

from collections.abc import Iterable, Iterator

from portway.application.pending import FoundApplication, Pending, reasons
from portway.model.releases import is_fetched
from portway.ops.describing import key
from portway.ops.differences import Difference, FoundNode, strangers
from portway.render.application import Application


def application_wishes(wanted: Application) -> dict[str, str]:
    """What stands in a record for what a node has beside files, packages and units."""
    return {
        key("release", wanted.release.version): wanted.release.sha256,
        key("application", wanted.unit): _wish(wanted),
    }


def _wish(wanted: Application) -> str:
    return f"{wanted.fixed_sha256} {wanted.config.sha256}"


def release_differences(
    wanted: Application, application: FoundApplication
) -> Iterator[Difference]:
    """Whether the release is missing, or from another archive."""
    if is_fetched(wanted.release, application.releases):
        return
    version = wanted.release.version
    has = version in application.releases.sums
    what = "was unpacked from another archive" if has else "is not on the node"
    yield Difference("release", version, what, wanted.release.sha256)


def application_differences(
    wanted: Application,
    todo: Pending,
    found: FoundNode,
    application: FoundApplication,
    drained_on: Iterable[str] = (),
) -> Iterator[Difference]:
    """What a node is to be changed for, but for its files.

    ``drained_on`` are the load balancers that have it drained.
    """
    yield from release_differences(wanted, application)
    releases, wish = application.releases, wanted.release.sha256
    if todo.switch and not todo.fetch:
        current = releases.current or "none"
        what = f"is not the current release: that is {current}"
        yield Difference("release", wanted.release.version, what, wish)
    unit = found.services.get(wanted.unit)
    if words := tuple(_words(wanted, todo, found, application)):
        stopped = unit is not None and not unit.active
        yield Difference(
            "application",
            wanted.unit,
            "; ".join(words),
            _wish(wanted),
            since=unit.since if unit is not None and stopped else None,
        )
    for version in todo.remove:
        what = "is one more than keep_releases keeps"
        yield Difference("release", version, what)
    if todo.leftovers:
        yield Difference("release", "", "an interrupted run left something behind")
    if application.is_out:
        what = "has taken itself out of service, in a run that did not come to its end"
        yield Difference("node", wanted.instance.name, what)
    for name in drained_on if todo.put_back else ():
        what = f"is drained or in maintenance on {name}"
        yield Difference("server", wanted.instance.name, what, node=name)


def _words(
    wanted: Application,
    todo: Pending,
    found: FoundNode,
    application: FoundApplication,
) -> Iterator[str]:
    unit = found.services.get(wanted.unit)
    if unit is not None and not unit.active:
        yield f"does not run: {unit.state}"
    elif todo.restart or todo.reload:
        yield "must load: " + "; ".join(reasons(wanted, found, application))
    if unit is not None and not unit.enabled:
        yield "would not start at boot"
    if unit is not None and (others := strangers(wanted.service, unit)):
        yield f"is overridden by {', '.join(others)}"
    elif unit is not None and unit.needs_daemon_reload:
        yield "systemd has not read what its unit says now"
    if todo.record:
        yield "what it runs with is recorded in an older form"
