"""One run: what AWS said about a stack, and the Clusters made of it."""

from portway.model.build import build_cluster
from portway.model.clients import read_clients
from portway.model.cluster import Cluster
from portway.model.deployed import Checkout
from portway.model.settings import Settings
from portway.model.stack import Stack
from portway.run.command_line import Invocation


class Run:
    """A stack, read once, joined with the settings of each host that asks.

    It belongs to whoever made it and keeps nothing outside itself, so a process may
    make many.
    """

    def __init__(
        self,
        stack: Stack,
        invocation: Invocation,
        asked: tuple[str, str],
        checkout: Checkout,
    ) -> None:
        self.stack = stack
        self.invocation = invocation
        self.asked = asked
        """Name or ARN, and region, as the inventory gives them."""
        self.checkout = checkout
        self._clusters: dict[Settings, Cluster] = {}

    def has_cluster(self, settings: Settings) -> bool:
        """Whether these settings were joined with the stack before."""
        return settings in self._clusters

    def cluster(self, settings: Settings) -> Cluster:
        """The stack joined with settings and the clients file that they name.

        Raises PortwayError with everything that is wrong with them.
        """
        if settings not in self._clusters:
            clients = read_clients(settings.clients_path)
            self._clusters[settings] = build_cluster(self.stack, settings, clients)
        return self._clusters[settings]
