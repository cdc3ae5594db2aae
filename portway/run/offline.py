"""What a run would want, without AWS or nodes: a saved Stack, and the files here.

The Stack is as it was when it was saved; settings and clients are as they are now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from portway.errors import PortwayError
from portway.model.build import build_cluster
from portway.model.clients import Clients, read_clients
from portway.model.cluster import Cluster
from portway.model.saved import Saved
from portway.model.settings import Settings
from portway.render.node import NodeFiles, node_files
from portway.run.group_data import Assigned, existing, read_group_data


@dataclass(frozen=True, slots=True)
class Wishes:
    """What people decided about a group of hosts."""

    assigned: Mapping[str, tuple[Assigned, ...]]
    """Where each setting comes from, what counts last."""
    settings: Settings
    clients: Clients


def read_wishes(inventory: str, groups: Sequence[str]) -> Wishes:
    """What people decided about the hosts of an inventory that are in these groups."""
    data = read_group_data(existing(Path(inventory)))
    settings = data.settings(groups)
    clients = read_clients(settings.clients_path)
    return Wishes(data.assigned(groups), settings, clients)


def wishes_of(saved: Saved, node: str) -> Wishes:
    """What people decided about one node; PortwayError if there is none."""
    if node not in saved.groups:
        known = ", ".join(saved.groups)
        raise PortwayError(f"there is no node {node}", do=f"choose one of {known}")
    return read_wishes(saved.inventory, saved.groups[node])


def cluster_of(saved: Saved, node: str) -> Cluster:
    """The Cluster that a run has for one node."""
    wishes = wishes_of(saved, node)
    return build_cluster(saved.stack, wishes.settings, wishes.clients)


def files_of(saved: Saved, node: str) -> NodeFiles:
    """The files that a run would write to one node."""
    cluster = cluster_of(saved, node)
    return node_files(cluster, node, read_authority(cluster.settings))


def read_authority(settings: Settings) -> str | None:
    """The database's certificate authorities; None if there is no such file."""
    try:
        return Path(settings.database_ca_file or "").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None


def write_files(folder: Path, files: NodeFiles) -> None:
    """Write files below a folder, with their modes."""
    for file in files.files:
        target = folder / file.path.lstrip("/")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.content, encoding="utf-8", newline="")
            target.chmod(int(file.mode, 8))
        except OSError as error:
            raise PortwayError(
                f"{target} cannot be written ({error.strerror})"
            ) from error
