"""Which of the application's two database logins its nodes use.

A node's configuration file is the vendor's, so Portway keeps the user in a file of its
own beside it: only if it is the second login, since nodes that were deployed before
there were two have no such line.
"""

import shlex
from dataclasses import dataclass

from pyinfra import host, logger

from portway.contract.paths import LOADED_FOLDER
from portway.database.state import NodeLogins
from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.model.login import Login, second_user
from portway.model.stack import Role
from portway.ops.framing import NodeFact
from portway.ops.remote import HiddenInput, NotReached, ask, is_silent, node_of_stack
from portway.render.application import LOGIN_LINE, config_path, listing_path


@dataclass(frozen=True, slots=True)
class NodeLogin:
    """What a node's files say."""

    users: frozenset[str] = frozenset()
    """Those in its configuration and in what its process has loaded."""
    ready: str | None = None
    """The one in its configuration, if that has the password that was asked for."""


class NodeLoginFacts(NodeFact[NodeLogin]):
    """Which users a node has, and whether with a password.

    The password is given as ``_stdin``.
    """

    def command(self, app: str, user: str) -> str:
        """A script that prints a line for each place; ``user`` is the first login."""
        return _SCRIPT.format(
            user=shlex.quote(user),
            second=shlex.quote(second_user(user)),
            line=LOGIN_LINE,
            config=config_path(app),
            listing=listing_path(app),
            record=LOADED_FOLDER / app,
        )

    def process(self, output: list[str]) -> NodeLogin:
        """The lines: a user, or ``ready`` and one."""
        rows = [line.split() for line in output]
        ready = [row[1] for row in rows if len(row) == 2]
        users = frozenset(row[0] for row in rows if len(row) == 1)
        return NodeLogin(users, ready[0] if ready else None)

    @staticmethod
    def default() -> NodeLogin:
        """A node without the application."""
        return NodeLogin()


def read_node_logins(cluster: Cluster, application: Login) -> NodeLogins:
    """Ask every application node; ``application`` is the login in the secret."""
    by_node, ready, unseen = dict[str, frozenset[str]](), dict[str, str](), []
    password = HiddenInput(application.password.get_secret_value())
    for node in cluster.stack.with_role(Role.APPLICATION):
        try:
            if is_silent(node.name):
                raise NotReached(f"{node.name}: it could not be connected to")
            said = ask(
                node_of_stack(host, node, "app_nodes"),
                NodeLoginFacts,
                app=cluster.settings.app_name,
                user=application.user,
                _stdin=password,
            )
            by_node[node.name] = said.users
            if said.ready:
                ready[node.name] = said.ready
        except PortwayError as error:
            unseen.append(node.name)
            logger.warning(
                f"{host.print_prefix}cannot ask {node.name} which database login it "
                f"uses: {error.message}"
            )
    return NodeLogins(by_node, tuple(unseen), ready)


# The shell itself passes the password on, so no process has it as an argument. The
# configuration, not the listing, says whose it is: a run may have died between the two.
_SCRIPT = r"""
IFS= read -r password
said() {{ sed -n 's/^{line} //p' "$1" 2>/dev/null | grep . || echo {user}; }}
has() {{ grep -qwF "$@" {config}; }}
[ -f {config} ] || exit 0
if [ -n "$password" ] && printf '%s\n' "$password" | has -f -; then
    for user in {second} {user}; do
        ! has "$user" || {{ echo ready "$user"; break; }}
    done
fi
said {listing}
[ ! -f {record} ] || sha256sum <{config} | grep -qxFf - {record} || said {record}
"""
