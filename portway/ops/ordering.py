"""The order of a run's operations across nodes.

pyinfra runs operations level by level: one node's second operation may run before
another node's first one, whatever lines they are on. An operation that every node has
is a level that all of them share; nothing from a later line runs before it.
"""

from pyinfra import host

from portway.ops.pyinfra_errors import Commands, operation


@operation
def barrier() -> Commands:
    """Let nothing after this run on any node before all nodes have got here.

    Call it for all nodes of the run, on one line of a deploy.
    """
    host.noop("every node has got this far")
    yield from ()
