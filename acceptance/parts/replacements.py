"""Instances are terminated through EC2, and groups launch others in their place."""

import time
from collections.abc import Mapping

from acceptance.parts.moves import SETTLE_SECONDS, Watch, other, remember
from acceptance.parts.view import View
from acceptance.programs.sender import refuse_failed
from acceptance.terminal.waiting import say
from portway.errors import PortwayError
from portway.model.stack import Node, Role


def load_balancer(view: View) -> str:
    """Terminate the one that has the address, and make the pair whole again."""
    lost = view.holder() or view.balancers()[0]
    survivor = other(view, lost)
    view.instances = view.names()
    watch = Watch(view, survivor)
    began = _terminate(view, lost)
    view.wait_for_holder(lambda eni: eni == survivor.interface_id)
    shown_at = watch.stop()
    view.client().wait_until_served(time.time())
    time.sleep(SETTLE_SECONDS)
    what = f"{lost.name} terminated"
    noticed = remember(view, what, began, lost, survivor, shown_at)

    new = view.replaced(lost)
    view.launched["load balancer"] = time.time() - began
    say(f"  {new.instance_id} was launched")
    launched_at = (new.started_at or new.launched_at).timestamp()
    view.deploys.trust()
    view.launched["ssh host keys"] = time.time() - launched_at
    view.deploys.on_node(new.name, "true")
    view.launched["ssh"] = time.time() - launched_at
    moved = time.time()
    done = view.deploys.deploy("lb")
    if done.changes == 0:
        raise PortwayError(f"deploys/lb.py changed nothing on the new {new.name}")
    refuse_renamed(view.instances, view.names(), lost)
    if (holder := view.holder()) is None or holder.name != survivor.name:
        raise PortwayError(f"the address did not stay with {survivor.name}")
    deploying = view.client().measured(moved)
    refuse_failed(deploying, "the new load balancer was deployed to")
    launched = view.launched["load balancer"]
    return f"{noticed}; another launched after {launched:.0f} s; lb.py: {deploying}"


def application_node(view: View) -> str:
    """Terminate the one launched first, and deploy to the one in its place."""
    lost = view.stack().with_role(Role.APPLICATION)[0]
    view.instances = view.names()
    began = _terminate(view, lost)
    new = view.replaced(lost)
    launched = time.time() - began
    say(f"  {new.instance_id} was launched")
    view.deploys.trust()
    view.deploys.deploy("site")
    refuse_renamed(view.instances, view.names(), lost)
    view.client().wait_until_served(time.time())
    return f"another launched after {launched:.0f} s; {view.client().measured(began)}"


def refuse_renamed(
    before: Mapping[str, str], now: Mapping[str, str], lost: Node
) -> None:
    """PortwayError unless names are as before, and only the lost one's has moved."""
    if before.keys() != now.keys():
        raise PortwayError(
            f"nodes were {', '.join(sorted(before))} and are {', '.join(sorted(now))}"
        )
    other_ids = [name for name, id_ in before.items() if now[name] != id_]
    if other_ids != [lost.name]:
        raise PortwayError(
            f"{lost.name} was terminated, and other instances are called "
            f"{', '.join(other_ids)} now"
        )


def _terminate(view: View, node: Node) -> float:
    began = time.time()
    about = f"{node.name} ({node.instance_id})"
    view.owner.call("ec2", "terminate_instances", about, InstanceIds=[node.instance_id])
    say(f"  {about} is being terminated")
    return began
