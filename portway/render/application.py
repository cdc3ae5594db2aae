"""Everything that an application node should have."""

import hashlib
import re
from dataclasses import dataclass, field

from portway.contract import paths
from portway.contract.release_requests import Fetch
from portway.model.cluster import Cluster
from portway.model.listeners import Listener, application_ports, listeners
from portway.model.login import Login
from portway.model.releases import Access, Release
from portway.model.settings import Settings
from portway.model.stack import Node
from portway.render.files import ManagedFile, Service, WantedNode
from portway.render.machine import (
    RESERVED_PORTS,
    needrestart_file,
    reserved_ports,
    sysctl_file,
)
from portway.render.node_programs import node_program
from portway.render.templates import render

DESCRIPTORS = 65_536
"""Enough for 10,000 listeners and 50,000 connections."""
LOGIN_LINE = "login"
"""First word of the line, beside the ports, that names the second database login."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an application node needs beyond the Stack and the settings."""

    release: Release
    login: Login
    """The application's login to its database."""
    authority: str = field(repr=False)
    """Certificates of the authorities that may have issued the database's, as PEM."""
    access: Access = field(default_factory=Access, repr=False)
    """What opens Artifactory."""


@dataclass(frozen=True, slots=True)
class Application:
    """Everything that one application node should have."""

    instance: Node
    unit: str
    release: Release
    folder: str
    """Where its releases are."""
    node: WantedNode
    fixed_sha256: str
    """Hash of what a process loads when it starts, and only then."""
    config: ManagedFile
    """What a process also loads when it is reloaded."""
    listeners: tuple[Listener, ...]
    """Those of its configuration."""
    can_reload: bool
    programs: tuple[str, ...]
    """Paths in the release of those that the settings name."""
    links: tuple[str, ...]
    """Absolute paths that links in its archive may lead to, or below."""
    inputs: Inputs
    """What it was rendered from."""

    system_files: tuple[ManagedFile, ...]
    """The program that installs releases, and what the node's system reads."""
    own_files: tuple[ManagedFile, ...]
    """What the application itself reads, and what is recorded of it."""

    @property
    def service(self) -> Service:
        (service,) = self.node.services
        return service

    @property
    def record(self) -> str:
        """What a process leaves in ``LOADED_FOLDER`` if it has loaded all of this."""
        (listing,) = (f for f in self.own_files if f.path == listing_path(self.unit))
        hashes = f"{self.fixed_sha256}  -\n{self.config.sha256}  -\n"
        return hashes + listing.content


def release_folder(app: str) -> str:
    """Where the releases of an application are."""
    return f"/opt/{app}"


def authority_path(app: str) -> str:
    """The file of an application with the database's authorities."""
    return f"/etc/{app}/database-ca.pem"


def config_path(app: str) -> str:
    """An application's configuration file."""
    return f"/etc/{app}/{app}.conf"


def listing_path(app: str) -> str:
    """The file that lists the ports of an application's configuration.

    It also says if that has the second database login.
    """
    return f"/etc/{app}/listeners"


def unit_path(app: str) -> str:
    """An application's unit."""
    return str(paths.UNIT_FOLDER / f"{app}.service")


def application(
    cluster: Cluster,
    node: Node,
    inputs: Inputs,
    serve: tuple[Listener, ...] | None = None,
) -> Application:
    """Everything that one application node should have.

    ``serve`` are the ports to listen on, if they are not those of the clients file.
    """
    settings = cluster.settings
    name = settings.app_name
    folder = release_folder(name)
    ca_file = authority_path(name)
    config_file = config_path(name)
    if serve is None:
        serve = listeners(cluster, node)
    config = render(
        "message-app.conf.j2",
        cluster=cluster,
        node=node,
        database=cluster.stack.needed_database(),
        schema=settings.database_schema,
        login=inputs.login,
        ca_file=ca_file,
        listeners=serve,
    )
    authority = ManagedFile(ca_file, inputs.authority, "644")
    configuration = ManagedFile(config_file, config, "600", secret=True)
    unit = _unit(settings)
    # A former login counts as used until the listing is written, so that comes last.
    loads = (authority, configuration, _listing(name, serve, inputs.login), unit)
    reserved = reserved_ports([cluster.stack.ports.health, *application_ports(cluster)])
    system = (*_installer(), needrestart_file(name), sysctl_file(reserved))
    return Application(
        instance=node,
        unit=name,
        release=inputs.release,
        folder=folder,
        node=WantedNode(
            packages=("python3",),
            files=(*system, *loads),
            sysctls={RESERVED_PORTS: reserved},
            services=(_service(name, config_file, unit.path),),
            folders=(str(paths.PYTHON_FOLDER),),
        ),
        fixed_sha256=_fixed(inputs.release, authority, unit),
        config=configuration,
        listeners=serve,
        can_reload=settings.app_reload_command is not None,
        programs=named_programs(settings),
        links=settings.artifact_links,
        inputs=inputs,
        system_files=system,
        own_files=loads,
    )


def fetch_request(wanted: Application) -> Fetch:
    """The request that makes the node fetch its release, with what opens Artifactory.

    It is a secret.
    """
    release, access = wanted.release, wanted.inputs.access
    return Fetch(
        folder=wanted.folder,
        version=release.version,
        url=release.url,
        sha256=release.sha256,
        headers=access.headers,
        authorities=access.authorities,
        links=wanted.links,
        programs=wanted.programs,
    )


PROGRAM = re.compile(r"[A-Za-z0-9._/+@,:=-]+")
"""What begins a command and has a meaning neither to systemd nor to a shell."""
AFTER_PROGRAM = " "
AFTER_PROGRAM_IN_SHELL = " \t;&|<>"


def named_programs(settings: Settings) -> tuple[str, ...]:
    """The programs of the commands, but of those only that they name for sure."""
    commands = (
        (settings.app_command, AFTER_PROGRAM),
        (settings.app_test_command or "", AFTER_PROGRAM_IN_SHELL),
    )
    return tuple(
        found[0]
        for command, after in commands
        if (found := PROGRAM.match(command))
        and command[found.end() : found.end() + 1] in after  # an empty end is in it
    )


def _installer() -> tuple[ManagedFile, ...]:
    program = node_program("node/releases/*.py")
    launcher = render("install-release.j2", python_folder=program.folder)
    return (
        *program.files,
        ManagedFile(str(paths.INSTALLER), launcher, "755"),
    )


def _service(unit: str, config: str, path: str) -> Service:
    process = f"systemctl show -p MainPID --value {unit}"
    return Service(unit, config, path, process, replaced_by_reload=True)


def _listing(app: str, serve: tuple[Listener, ...], login: Login) -> ManagedFile:
    content = render(
        "listeners.j2", name=app, listeners=serve, login=login, login_line=LOGIN_LINE
    )
    return ManagedFile(listing_path(app), content, "644")


def _unit(settings: Settings) -> ManagedFile:
    app = settings.app_name
    path, config_file = unit_path(app), config_path(app)
    content = render(
        "message-app.service.j2",
        name=app,
        folder=release_folder(app),
        command=settings.app_command.replace("{config}", config_file),
        reload_command=settings.app_reload_command,
        fixed=fixed_script(app),
        config_file=config_file,
        listing=listing_path(app),
        loaded_folder=paths.LOADED_FOLDER,
        descriptors=DESCRIPTORS,
        writable=settings.app_writable_folders,
        capabilities=settings.app_capabilities,
    )
    return ManagedFile(path, content, "644")


NOT_FIXED = ("ExecReload=", "ExecStartPre=", "#")
"""How lines of a unit begin that say nothing about the process it starts."""


def fixed_script(app: str) -> str:
    """A command that prints what a process loads when it starts, and only then."""
    files = f"{release_folder(app)}/current/{paths.SUM_FILE} {authority_path(app)}"
    skipped = " ".join(f"-e ^{beginning}" for beginning in NOT_FIXED)
    return f"{{ cat {files}; grep -v {skipped} {unit_path(app)}; }}"


def _fixed(release: Release, authority: ManagedFile, unit: ManagedFile) -> str:
    """The hash of what ``fixed_script`` prints."""
    kept = [
        line
        for line in unit.content.splitlines(keepends=True)
        if not line.startswith(NOT_FIXED)
    ]
    text = "".join((f"{release.sha256}\n", authority.content, *kept))
    return hashlib.sha256(text.encode()).hexdigest()
