"""How a run connects to nodes: by pyinfra's SSH, which waits while a node boots."""

from datetime import UTC, datetime, timedelta

import gevent
from paramiko.ssh_exception import BadHostKeyException
from pyinfra import logger
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.ssh import SSHConnector

BOOT = timedelta(minutes=5)
"""How long after its start an instance may refuse connections because it boots."""
PAUSE_SECONDS = 5.0
STARTED = "_started_at"
"""In a host's data: when EC2 started it, in ISO 8601."""


class NodeConnector(SSHConnector):
    """Waits for the SSH server of an instance that was started within minutes."""

    def connect(self) -> None:
        began = datetime.now(UTC)
        text = self.host.data.get(STARTED)
        started = datetime.fromisoformat(text) if text else None
        while True:
            try:
                super().connect()
                return
            except ConnectError as error:
                now = datetime.now(UTC)
                if started is None or now - started > BOOT or _is_about_keys(error):
                    raise
                logger.info(
                    f"{self.host.print_prefix}waiting for its SSH server: EC2 started "
                    f"it {(now - started).total_seconds():.0f} s ago "
                    f"({(now - began).total_seconds():.0f} s so far, at most "
                    f"{BOOT.total_seconds():.0f} s after its start): {error}"
                )
            gevent.sleep(PAUSE_SECONDS)


def _is_about_keys(error: ConnectError) -> bool:
    """Whether the host answered, with a key that is not the one on record."""
    cause = error.__context__
    return isinstance(cause, BadHostKeyException) or "StrictPolicy" in str(error)


def connect_as_nodes(state: State, nodes: list[Host]) -> None:
    """Have these hosts, which pyinfra would reach by SSH, connected to in this way."""
    for node in nodes:
        node.connector_cls = NodeConnector
        node.connector = NodeConnector(state, node)
