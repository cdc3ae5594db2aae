"""``python -m lab up``, ``follow``, ``down``, ``status`` and ``demo``."""

import argparse
import json
from collections.abc import Callable

from lab.plan.names import Lab


def add_to(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add these verbs."""
    up = add("up", _up, "create the stack and its hosts, or bring them up to date")
    up.add_argument("--app-nodes", type=int, metavar="N", help="application nodes")
    up.add_argument(
        "--suite",
        choices=("trixie", "bookworm"),
        help="the hosts' Debian: trixie (13, the default) or bookworm (12)",
    )
    up.add_argument(
        "--database",
        choices=("postgres", "mariadb"),
        help="the database's engine, when the stack is created: postgres by default",
    )
    up.add_argument(
        "--address-kind",
        choices=("elastic-ip", "private-address", "route"),
        help="what moves when a load balancer fails, when the stack is created: "
        "elastic-ip by default",
    )
    up.add_argument(
        "--load-balancers-as",
        choices=("groups", "instance-and-group", "group-and-instance", "instances"),
        help="what launches the load balancers: groups when the stack is created, and "
        "later what it was",
    )
    up.add_argument(
        "--no-stack",
        action="store_true",
        help="all but the stack, which somebody creates with CloudFormation",
    )
    add(
        "follow",
        _follow,
        "start and remove hosts as instances come and go, until the lab is down",
    )
    demo = add(
        "demo", _demo, "show the main job: a stack, one command, and real traffic"
    )
    demo.add_argument(
        "--agent",
        action="store_true",
        help="show that nodes come back which AWS terminates, though nobody deploys",
    )
    add("down", _down, "remove the lab and everything of it but the disk images")
    status = add("status", _status, "show what is there")
    status.add_argument("--json", action="store_true", help="for programs")


def _up(lab: Lab, options: argparse.Namespace) -> None:
    from lab.lifecycle import status
    from lab.lifecycle.up import up

    up(
        lab,
        options.app_nodes,
        options.suite,
        options.database,
        options.address_kind,
        load_balancers_as=options.load_balancers_as,
        no_stack=options.no_stack,
    )
    print(status.table(status.read(lab)), end="")


def _follow(lab: Lab, options: argparse.Namespace) -> None:
    from lab.lifecycle.follow import follow

    del options
    follow(lab)


def _down(lab: Lab, options: argparse.Namespace) -> None:
    from lab.lifecycle.down import down

    del options
    down(lab)


def _demo(lab: Lab, options: argparse.Namespace) -> None:
    from lab.cli import agent_demo, demo

    if options.agent:
        agent_demo.run(lab)
    else:
        demo.run(lab)


def _status(lab: Lab, options: argparse.Namespace) -> None:
    from lab.lifecycle import status

    read = status.read(lab)
    print(json.dumps(read, indent=2) if options.json else status.table(read).rstrip())
