"""The parts of a run, in order, and which of them a user may leave out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from acceptance.parts import moves, replacements, updates
from acceptance.parts.view import View
from acceptance.plan.items import After
from acceptance.programs.sender import Sender, refuse_failed
from acceptance.terminal.waiting import say
from portway.errors import PortwayError


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a run."""

    title: str
    act: Callable[[View], str]
    """Does it, and says what was seen."""
    shows: tuple[After, ...] = ()
    """What can be observed when it has ended."""


def deploy(view: View) -> str:
    """Record host keys, deploy everything, and have a client served."""
    began = time.time()
    view.deploys.trust()
    view.launched["consoles"] = time.time() - max(
        (node.started_at or node.launched_at).timestamp() for node in view.stack().nodes
    )
    say(f"  the host keys are recorded, {time.time() - began:.0f} s")
    done = view.deploys.deploy("site")
    view.launched["first deploy"] = done.seconds
    address = view.stack().virtual_address.address
    view.sender = Sender(view.options, address)
    say(f"  a client sends to {address}:{view.options.port}")
    view.sender.wait_until_served(0.0)
    return f"{done.changes} operations changed something, in {done.seconds:.0f} s"


def again(view: View) -> str:
    """Deploy everything again: nothing may change."""
    began = time.time()
    done = view.deploys.deploy("site")
    if done.changes:
        raise PortwayError(
            f"a second deploys/site.py changed something, {done.changes} times",
            do="please report it, with its output",
        )
    traffic = view.client().measured(began)
    refuse_failed(traffic, "everything was deployed again")
    return f"nothing changed, in {done.seconds:.0f} s; {traffic}"


def look(view: View) -> str:
    """Nothing: what can be observed in a stack that is deployed follows."""
    return f"a client is served: {view.client().measured(0.0)}"


ALWAYS: Mapping[str, Part] = {
    "deploy": Part("the first deploy", deploy),
}
"""Without it there is nothing to look at."""

PARTS: Mapping[str, Part] = {
    "again": Part("a second deploy, which changes nothing", again),
    "look": Part("what a deployed stack shows", look, (After.CREATION, After.DEPLOY)),
    "transfer": Part(
        "the address handed over and back", moves.transfer, (After.TRANSFER,)
    ),
    "keepalived": Part("keepalived stopped on the master", moves.keepalived),
    "load-balancer": Part(
        "a load balancer terminated", replacements.load_balancer, (After.LOAD_BALANCER,)
    ),
    "application-node": Part(
        "an application node terminated", replacements.application_node
    ),
    "rotation": Part(
        "the application's password rotated", updates.rotation, (After.ROTATION,)
    ),
    "update": Part("the stack updated", updates.update, (After.UPDATE,)),
    "shrink": Part("one application node less", updates.shrink, (After.SHRINK,)),
}


def chosen(only: Sequence[str]) -> dict[str, Part]:
    """The parts of a run; PortwayError if one of those to run is unknown."""
    if unknown := [name for name in only if name not in PARTS]:
        raise PortwayError(
            f"--only: there is no part {', '.join(unknown)}",
            do=f"the parts are {', '.join(PARTS)}",
        )
    parts = {name: part for name, part in PARTS.items() if not only or name in only}
    return {**ALWAYS, **parts}
