"""Text from a Cluster and one application node of it: every file that the node gets.

Pure but for reading ``templates/`` and the node's program.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from portway.changes import LOADED_FOLDER, ManagedFile, Service, WantedNode
from portway.cluster import Cluster
from portway.database_session import Login
from portway.listeners import listeners
from portway.releases import Release
from portway.settings import Settings
from portway.stack import Node
from portway.templates import render

INSTALLER = "/usr/local/lib/portway/install-release"
INSTALLER_SOURCE = Path(__file__).parent / "node" / "install_release.py"
SUM_FILE = ".portway-sha256"
"""In each release: the sum of the archive that it was unpacked from."""

DESCRIPTORS = 65_536
"""Enough for 10,000 listeners and 50,000 connections."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an application node needs that neither the Stack nor settings hold."""

    release: Release
    login: Login
    """Who the application is to its database."""
    authority: str = field(repr=False)
    """The certificates that the database's must come from, as text."""
    token: SecretStr | None
    """Artifactory's, if it asks for one."""


@dataclass(frozen=True, slots=True)
class Application:
    """Everything that one application node should be."""

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

    @property
    def installer(self) -> ManagedFile:
        """The program that installs releases."""
        return self.node.file(INSTALLER)

    @property
    def own_files(self) -> tuple[ManagedFile, ...]:
        """The files that the application reads."""
        return tuple(file for file in self.node.files if file.path != INSTALLER)


def application(cluster: Cluster, node: Node, inputs: Inputs) -> Application:
    """Everything that one application node should be."""
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
    installer = ManagedFile(INSTALLER, INSTALLER_SOURCE.read_text(), "755")
    return Application(
        instance=node,
        unit=name,
        release=inputs.release,
        folder=folder,
        node=WantedNode(
            packages=("python3",),
            files=(installer, *loads),
            sysctls={},
            services=(_service(name, config_file, loads[-1].path),),
        ),
        loaded_sha256=_loaded(inputs.release, loads),
        token=inputs.token,
    )


def _service(unit: str, config: str, path: str) -> Service:
    process = f"systemctl show -p MainPID --value {unit}"
    return Service(unit, config, path, process, replaced_by_reload=True)


def _unit(
    settings: Settings, folder: str, ca_file: str, config_file: str
) -> ManagedFile:
    path = f"/etc/systemd/system/{settings.app_name}.service"
    content = render(
        "message-app.service.j2",
        name=settings.app_name,
        folder=folder,
        command=settings.app_command.replace("{config}", config_file),
        loaded=(f"{folder}/current/{SUM_FILE}", ca_file, config_file, path),
        loaded_folder=LOADED_FOLDER,
        descriptors=DESCRIPTORS,
        writable=settings.app_writable_folders,
        capabilities=settings.app_capabilities,
    )
    return ManagedFile(path, content, "644")


def _loaded(release: Release, files: tuple[ManagedFile, ...]) -> str:
    """What the unit's ``ExecStartPre`` records: the sum file and the files together."""
    digest = hashlib.sha256(f"{release.sha256}\n".encode())
    for file in files:
        digest.update(file.content.encode())
    return digest.hexdigest()
