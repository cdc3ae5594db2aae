"""Which of the application's two database logins its nodes use.

A node's configuration file is the vendor's, so Portway keeps the user in a file of its
own beside it: only if it is the second login, since nodes that were deployed before
there were two have no such line.
"""

import shlex

from pyinfra import host, logger

from portway.contract.paths import LOADED_FOLDER
from portway.database.state import NodeLogins
from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.model.stack import Role
from portway.ops.framing import NodeFact
from portway.ops.remote import NotReached, ask, is_silent, node_of_stack
from portway.render.application import LOGIN_LINE, config_path, listing_path


class NodeLoginFacts(NodeFact[frozenset[str]]):
    """The users in a node's configuration and in what its process has loaded."""

    def command(self, app: str, user: str) -> str:
        """A script that prints a user for each of the two places."""
        return _SCRIPT.format(
            user=shlex.quote(user),
            line=LOGIN_LINE,
            config=config_path(app),
            listing=listing_path(app),
            record=LOADED_FOLDER / app,
        )

    def process(self, output: list[str]) -> frozenset[str]:
        """The lines, each one user."""
        return frozenset(output)

    @staticmethod
    def default() -> frozenset[str]:
        """A node without the application."""
        return frozenset()


def read_node_logins(cluster: Cluster, user: str) -> NodeLogins:
    """Ask every application node; ``user`` is the first login."""
    by_node, unseen = dict[str, frozenset[str]](), []
    for node in cluster.stack.with_role(Role.APPLICATION):
        try:
            if is_silent(node.name):
                raise NotReached(f"{node.name}: it could not be connected to")
            by_node[node.name] = ask(
                node_of_stack(host, node, "app_nodes"),
                NodeLoginFacts,
                app=cluster.settings.app_name,
                user=user,
            )
        except PortwayError as error:
            unseen.append(node.name)
            logger.warning(
                f"{host.print_prefix}cannot ask {node.name} which database login it "
                f"uses: {error.message}"
            )
    return NodeLogins(by_node, tuple(unseen))


_SCRIPT = r"""
said() {{ sed -n 's/^{line} //p' "$1" 2>/dev/null | grep . || echo {user}; }}
[ -f {config} ] || exit 0
said {listing}
[ ! -f {record} ] || sha256sum <{config} | grep -qxFf - {record} || said {record}
"""
