"""Every file of a node, by the node's name, for people who want to see them.

What needs a secret, or something that only a run finds out, is left out and named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from pydantic import SecretStr

from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.model.login import Login
from portway.model.releases import Release
from portway.model.stack import Database, Role
from portway.render.application import Inputs, application, authority_path
from portway.render.files import ManagedFile
from portway.render.load_balancer import load_balancer, without_pair

ONLY_IN_RUNS = "it has a password; only a run writes it"
NO_PEER = "there is no other load balancer now; a run leaves it as it is on the node"
NOT_READ = Database("", "postgres", "", 0, "", "", "")
"""Takes the place of the database where only left out files name it."""
NOBODY = Inputs(Release("", "", ""), Login("", SecretStr("")), authority="")


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The files of one node."""

    files: tuple[ManagedFile, ...]
    """As a run writes them, byte for byte."""
    left_out: Mapping[str, str]
    """The reasons, by path."""

    def file(self, path: str) -> ManagedFile:
        """One of them; PortwayError if there is none, with the reason."""
        for file in self.files:
            if file.path == path:
                return file
        if path in self.left_out:
            raise PortwayError(f"{path} is left out: {self.left_out[path]}")
        near = get_close_matches(path, [file.path for file in self.files], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise PortwayError(
            f"{path} is no file that a run writes to this node{hint}",
            do="see them all: portway render",
        )


def node_files(cluster: Cluster, name: str, authority: str | None) -> NodeFiles:
    """The files of a node.

    ``authority`` has the database's certificate authorities; None if nobody knows them.
    Raises PortwayError if there is no such node.
    """
    node = cluster.stack.node(name)
    if node.role is Role.LOAD_BALANCER:
        return _of_load_balancer(cluster, name)
    stack = cluster.stack
    known_database = replace(stack, database=stack.database or NOT_READ)
    inputs = replace(NOBODY, authority=authority or "")
    wanted = application(
        replace(cluster, stack=known_database), node, inputs
    ).node.files
    left_out = {file.path: ONLY_IN_RUNS for file in wanted if file.secret}
    if authority is None:
        path = authority_path(cluster.settings.app_name)
        left_out[path] = "the file that database_ca_file names cannot be read here"
    return NodeFiles(tuple(f for f in wanted if f.path not in left_out), left_out)


def _of_load_balancer(cluster: Cluster, name: str) -> NodeFiles:
    lb = cluster.load_balancer(name)
    wanted = load_balancer(cluster, lb)
    alone = wanted if lb.peer else without_pair(wanted)
    written = {file.path for file in alone.files}
    left = {f.path: NO_PEER for f in wanted.files if f.path not in written}
    return NodeFiles(alone.files, left)
