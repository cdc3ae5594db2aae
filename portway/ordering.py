"""The order of a run's operations across nodes.

pyinfra runs the operations of all nodes level by level: a node's second operation may
come before another node's first one, whatever their lines. An operation that every
node has is a level that all of them share; nothing of a later line comes before it.
"""

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation


@operation()
def stage() -> Generator[StringCommand, None, None]:
    """Keep what follows on any node behind what came before on every node.

    Call it on all nodes of the run, on one line of a deploy.
    """
    host.noop("every node has come this far")
    yield from ()
