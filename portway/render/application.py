"""Everything that an application node should have."""

import hashlib
from dataclasses import dataclass, field

from pydantic import SecretStr

from portway.contract import paths
from portway.contract.release_requests import Fetch
from portway.model.cluster import Cluster
from portway.model.listeners import listeners
from portway.model.login import Login
from portway.model.releases import Release
from portway.model.settings import Settings
from portway.model.stack import Node
from portway.render.files import ManagedFile, Service, WantedNode
from portway.render.node_programs import python_files
from portway.render.templates import render

DESCRIPTORS = 65_536
"""Enough for 10,000 listeners and 50,000 connections."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an application node needs beyond the Stack and the settings."""

    release: Release
    login: Login
    """The application's login to its database."""
    authority: str = field(repr=False)
    """Certificates of the authorities that may have issued the database's, as PEM."""
    token: SecretStr | None
    """Artifactory's, if it asks for one."""


@dataclass(frozen=True, slots=True)
class Application:
    """Everything that one application node should have."""

    instance: Node
    unit: str
    release: Release
    folder: str
    """Where its releases are."""
    node: WantedNode
    loaded_sha256: str
    """Hash of all that a process started now would load."""
    token: SecretStr | None
    """Artifactory's, if it asks for one."""

    installer: tuple[ManagedFile, ...]
    """The program that installs releases."""
    own_files: tuple[ManagedFile, ...]
    """What the application itself reads."""


def application(cluster: Cluster, node: Node, inputs: Inputs) -> Application:
    """Everything that one application node should have."""
    settings = cluster.settings
    name = settings.app_name
    folder = f"/opt/{name}"
    ca_file = f"/etc/{name}/database-ca.pem"
    config_file = f"/etc/{name}/{name}.conf"
    config = render(
        "message-app.conf.j2",
        cluster=cluster,
        node=node,
        database=cluster.stack.database,
        schema=settings.database_schema,
        login=inputs.login,
        ca_file=ca_file,
        listeners=listeners(cluster, node),
    )
    loads = (
        ManagedFile(ca_file, inputs.authority, "644"),
        ManagedFile(config_file, config, "600", secret=True),
        _unit(settings, folder, ca_file, config_file),
    )
    installer = _installer()
    return Application(
        instance=node,
        unit=name,
        release=inputs.release,
        folder=folder,
        node=WantedNode(
            packages=("python3",),
            files=(*installer, *loads),
            services=(_service(name, config_file, loads[-1].path),),
            folders=(str(paths.PYTHON_FOLDER),),
        ),
        loaded_sha256=_loaded(inputs.release, loads),
        token=inputs.token,
        installer=installer,
        own_files=loads,
    )


def fetch_request(wanted: Application) -> Fetch:
    """The request that makes the node fetch its release; it contains the token."""
    release, token = wanted.release, wanted.token
    return Fetch(
        folder=wanted.folder,
        version=release.version,
        url=release.url,
        sha256=release.sha256,
        token=token.get_secret_value() if token is not None else None,
    )


def _installer() -> tuple[ManagedFile, ...]:
    launcher = render("install-release.j2", python_folder=paths.PYTHON_FOLDER)
    return (
        *python_files("node/install_release.py"),
        ManagedFile(str(paths.INSTALLER), launcher, "755"),
    )


def _service(unit: str, config: str, path: str) -> Service:
    process = f"systemctl show -p MainPID --value {unit}"
    return Service(unit, config, path, process, replaced_by_reload=True)


def _unit(
    settings: Settings, folder: str, ca_file: str, config_file: str
) -> ManagedFile:
    path = str(paths.UNIT_FOLDER / f"{settings.app_name}.service")
    content = render(
        "message-app.service.j2",
        name=settings.app_name,
        folder=folder,
        command=settings.app_command.replace("{config}", config_file),
        loaded=(f"{folder}/current/{paths.SUM_FILE}", ca_file, config_file, path),
        loaded_folder=paths.LOADED_FOLDER,
        descriptors=DESCRIPTORS,
        writable=settings.app_writable_folders,
        capabilities=settings.app_capabilities,
    )
    return ManagedFile(path, content, "644")


def _loaded(release: Release, files: tuple[ManagedFile, ...]) -> str:
    """The hash that the unit's ``ExecStartPre`` records: of sum file and files."""
    digest = hashlib.sha256(f"{release.sha256}\n".encode())
    for file in files:
        digest.update(file.content.encode())
    return digest.hexdigest()
