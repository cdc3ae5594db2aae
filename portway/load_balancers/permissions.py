"""Tests what a load balancer may do in AWS, before or after it is changed."""

from pyinfra import host, state

from portway.load_balancers.asking import wait_for_rights
from portway.load_balancers.loading import changes_servers_only
from portway.load_balancers.status import AddressPermissions
from portway.load_balancers.verify import refusal_text
from portway.model.stack import Stack
from portway.ops.differences import differs_only_in, is_settled
from portway.ops.operations import read_node
from portway.ops.pyinfra_errors import Commands, failure, operation
from portway.ops.reading import Key, readings
from portway.ops.remote import ask
from portway.render.files import WantedNode
from portway.render.load_balancer import HAPROXY
from portway.render.streams import STREAM_KEEPER


@operation
def try_permissions(stack: Stack, wanted: WantedNode) -> Commands:
    """Fail with the name of each permission that the node lacks to move the address.

    This runs before anything is switched. When nothing is to be changed, the running
    mover has tested them itself, and ``verify_pair`` asks it. When only application
    nodes come and go, they do not wait for it: see ``try_permissions_late``.
    """
    if not state.is_executing:
        return
    found = read_node(wanted.survey)
    if is_settled(wanted, found):
        return
    nothing_else = differs_only_in((HAPROXY, STREAM_KEEPER), wanted, found)
    if nothing_else and changes_servers_only(wanted):
        readings().keep(_untried(), True)
        return
    yield from _try(stack)


@operation
def try_permissions_late(stack: Stack) -> Commands:
    """The same for what ``try_permissions`` has put off."""
    if readings().get(_untried()):
        yield from _try(stack)


def _untried() -> Key:
    """Where a run remembers that the current host is still to be tried."""
    return None, ("permissions to try", host.name)


def _try(stack: Stack) -> Commands:
    if refused := wait_for_rights(stack, lambda: ask(host, AddressPermissions)):
        yield failure("could not move the address", [refusal_text(refused)])
