"""What must be done to an application node. Pure."""

from dataclasses import dataclass, field

from portway.model.listeners import Listener
from portway.model.releases import FoundReleases, is_current, is_fetched, prunable
from portway.ops.differences import FoundNode, file_differs, strangers
from portway.render.application import Application
from portway.render.files import ManagedFile


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a running process has loaded."""

    fixed: str
    """Hash of what only a start loads."""
    config: str
    """Hash of the configuration file."""
    listeners: tuple[Listener, ...] | None = None
    """The ports of that configuration; None if nothing says."""
    is_recorded: bool = True
    """Whether it is on record part by part."""


@dataclass(frozen=True, slots=True)
class FoundApplication:
    """What one read of a node found of the application."""

    releases: FoundReleases = field(default_factory=FoundReleases)
    loaded: Loaded | None = None
    """None if nothing says."""
    is_out: bool = False
    """Whether the node has taken itself out of service."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The difference between an application node and what it should be."""

    files: tuple[ManagedFile, ...]
    """Those to write."""
    fetch: bool
    """Whether the release is not there yet, or from another archive."""
    switch: bool
    """Whether another release must become the current one."""
    record: str
    """What to record of the running process before anything is changed."""
    restart: bool
    """Whether the process does not run, or runs with something it should not."""
    reload: bool
    """Whether that is its configuration only, which it can take over as it runs."""
    settle: bool
    """Whether systemd must read the unit again, or start it at boot."""
    strange: tuple[str, ...]
    """Overrides of the unit that Portway did not write, which go away."""
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
            or self.record
            or self.restart
            or self.reload
            or self.settle
            or self.remove
            or self.leftovers
            or self.put_back
        )


def pending(
    wanted: Application,
    found: FoundNode,
    application: FoundApplication,
    keep: int,
    drained: bool,
) -> Pending:
    """What is to be done; what runs decides, not what this run changed.

    ``keep`` is how many releases stay; ``drained`` whether a load balancer has the node
    drained.
    """
    files = tuple(file for file in wanted.own_files if file_differs(file, found))
    unit, loaded = found.services.get(wanted.unit), application.loaded
    strange = strangers(wanted.service, unit) if unit else ()
    runs = unit is not None and unit.active and loaded is not None
    keeps_program = runs and loaded is not None and loaded.fixed == wanted.fixed_sha256
    keeps_config = loaded is not None and loaded.config == wanted.config.sha256
    takes_over = keeps_program and not keeps_config and wanted.can_reload
    return Pending(
        files=files,
        fetch=not is_fetched(wanted.release, application.releases),
        switch=not is_current(wanted.release, application.releases),
        record=_record(wanted, loaded),
        restart=not (keeps_program and (keeps_config or wanted.can_reload)),
        reload=takes_over,
        settle=unit is None
        or not unit.enabled
        or unit.needs_daemon_reload
        or bool(strange)
        or any(file.path.endswith(".service") for file in files),
        strange=strange,
        remove=prunable(wanted.release, application.releases, keep),
        leftovers=application.releases.leftovers,
        put_back=drained or application.is_out,
    )


def _record(wanted: Application, loaded: Loaded | None) -> str:
    """The record of a process that left only one hash of everything."""
    if loaded is None or loaded.is_recorded:
        return ""
    if (loaded.fixed, loaded.config) == (wanted.fixed_sha256, wanted.config.sha256):
        return wanted.record
    return f"{loaded.fixed}  -\n{loaded.config}  -\n"


HINT = "app_reload_command would spare the drains, if the application can reload"


def reasons(
    wanted: Application, found: FoundNode, application: FoundApplication
) -> tuple[str, ...]:
    """Why the application must be restarted or reloaded, in the words of the job."""
    unit, loaded = found.services.get(wanted.unit), application.loaded
    if unit is None or not unit.active:
        return ("it does not run",)
    if loaded is None:
        return ("nothing says what it runs with",)
    found_reasons = []
    if not is_current(wanted.release, application.releases):
        found_reasons.append(f"release {wanted.release.version}")
    elif loaded.fixed != wanted.fixed_sha256:
        found_reasons.append("its unit, archive or database authorities changed")
    if loaded.config != wanted.config.sha256:
        found_reasons.append(_config_reason(wanted, loaded))
        if len(found_reasons) == 1 and not wanted.can_reload:
            found_reasons.append(HINT)
    return tuple(found_reasons)


def _config_reason(wanted: Application, loaded: Loaded) -> str:
    if loaded.listeners is None:
        return "its configuration changed"
    before = {i.port: (i.client, i.speech) for i in loaded.listeners}
    after = {i.port: (i.client, i.speech) for i in wanted.listeners}
    both = before.keys() & after.keys()
    parts = (
        (len(after.keys() - before.keys()), "added"),
        (len(before.keys() - after.keys()), "removed"),
        (sum(before[port] != after[port] for port in both), "changed"),
    )
    counted = [f"{count} {what}" for count, what in parts if count]
    if not counted:
        return "its configuration changed, but for its ports"
    return f"ports in its configuration: {', '.join(counted)}"
