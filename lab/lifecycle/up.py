"""Bringing a lab up, step by step, from whatever is there already."""

from lab.artifactory import releases
from lab.aws import process, stack
from lab.ground import namespaces
from lab.ground.machine import check_machine, raise_limits
from lab.ground.progress import say, step
from lab.lifecycle import remembered
from lab.lifecycle.lock import alone
from lab.lifecycle.reconcile import images, reconcile, wanted
from lab.machines import operator
from lab.machines.certificates import Authority
from lab.plan import facts
from lab.plan.names import OPERATOR, Lab
from lab.vpc import wiring


def up(  # noqa: PLR0913 - what a lab can be asked to be
    lab: Lab,
    application_nodes: int | None = None,
    suite: str | None = None,
    engine: str | None = None,
    address_kind: str | None = None,
    *,
    load_balancers_as: str | None = None,
    no_stack: bool = False,
) -> None:
    """Bring a lab to what is asked, whatever of it is there already."""
    check_machine()
    if changed := raise_limits():
        say(changed)
    asked = (application_nodes, engine, address_kind, load_balancers_as)
    with alone(lab):
        lab.directory.mkdir(parents=True, exist_ok=True)
        remembered.remember_stack(
            lab, no_stack=no_stack, asked_of_it=any(a is not None for a in asked)
        )
        start_from = images(remembered.suite(lab, suite))
        with step("network and AWS"):
            # As Amazon's, it is there before any database.
            Authority(lab.directory / "authority").ensure()
            wiring.make(lab)
            process.start(lab)
        with namespaces.within(lab, OPERATOR):
            if remembered.makes_stack(lab):
                with step("the stack"):
                    done = stack.ensure(*asked)
                    stack.grant()
                say(f"stack {facts.STACK} {done}")
            else:
                operator.key(lab)
                operator.configure(lab)
            stack.name_instances()
            machines = stack.machines()
            present = wanted(machines, start_from)
            reconcile(lab, machines, present, set(), patient=True)
            with step("the vendor's releases"):
                releases.ensure(lab, with_secret=remembered.makes_stack(lab))
        say(f"lab {lab.name} is up")
