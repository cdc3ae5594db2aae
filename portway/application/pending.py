"""What must be done to an application node. Pure."""

from dataclasses import dataclass

from portway.model.releases import FoundReleases, is_current, is_fetched, prunable
from portway.ops.differences import FoundNode, file_differs
from portway.render.application import Application
from portway.render.files import ManagedFile


@dataclass(frozen=True, slots=True)
class Pending:
    """The difference between an application node and what it should be."""

    files: tuple[ManagedFile, ...]
    """Those to write."""
    fetch: bool
    """Whether the release is not there yet, or from another archive."""
    switch: bool
    """Whether another release must become the current one."""
    restart: bool
    """Whether the process does not run, or runs with something it should not."""
    settle: bool
    """Whether systemd must read the unit again, or start it at boot."""
    remove: tuple[str, ...]
    """Versions to remove."""
    leftovers: bool
    """Whether an interrupted run left something behind."""
    put_back: bool
    """Whether an interrupted run left the node out of service."""

    def __bool__(self) -> bool:
        return bool(
            self.files
            or self.fetch
            or self.switch
            or self.restart
            or self.settle
            or self.remove
            or self.leftovers
            or self.put_back
        )


def pending(
    wanted: Application,
    found: FoundNode,
    releases: FoundReleases,
    keep: int,
    drained: bool,
) -> Pending:
    """What is to be done; what runs decides, not what this run changed.

    ``keep`` is how many releases stay; ``drained`` whether a load balancer has the node
    drained.
    """
    files = tuple(file for file in wanted.own_files if file_differs(file, found))
    unit = found.services.get(wanted.unit)
    return Pending(
        files=files,
        fetch=not is_fetched(wanted.release, releases),
        switch=not is_current(wanted.release, releases),
        restart=unit is None
        or not unit.active
        or unit.loaded_sha256 != wanted.loaded_sha256,
        settle=unit is None
        or not unit.enabled
        or unit.needs_daemon_reload
        or any(file.path.endswith(".service") for file in files),
        remove=prunable(wanted.release, releases, keep),
        leftovers=releases.leftovers,
        put_back=drained,
    )
