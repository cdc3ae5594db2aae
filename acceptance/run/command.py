"""The command line of ``python -m acceptance``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from acceptance.account.patience import cannot_be_renewed
from acceptance.parts import order
from acceptance.plan import prices
from acceptance.plan.options import (
    EXPECT,
    FOLDER,
    MESSAGE,
    PORT,
    STACK_NAME,
    TUNNEL,
    Options,
    Sizes,
    clean_up_command,
    unescaped,
)
from acceptance.run import whole
from acceptance.terminal.interrupts import Interrupted, Interrupts
from acceptance.terminal.masking import Mask
from acceptance.terminal.waiting import say, show
from portway.contract.address import AddressKind
from portway.errors import PortwayError

INTERRUPTED = 130


def main(words: Sequence[str] | None = None) -> int:
    """Run, or clean up; 0 if all was as expected."""
    parser = _parser()
    given = parser.parse_args(words)
    interrupts, mask = Interrupts(), Mask()
    interrupts.install()
    try:
        folder = _folder(given)
        if given.clean_up:
            return whole.clean_up(folder, given.clean_up, mask, interrupts)
        options = _options(given, folder)
        start = whole.prepared(options, mask, interrupts)
        _ask(start, given.yes)
        report = whole.run(start)
        return 0 if report.is_as_expected else 1
    except PortwayError as error:
        show(f"acceptance: {mask.text(error.message)}", sys.stderr)
        return 1
    except Interrupted:
        folder = given.folder.resolve() / (given.clean_up or given.stack)
        say(f"ended; if anything is left, this deletes it: {clean_up_command(folder)}")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    sizes = Sizes()
    parser = argparse.ArgumentParser(
        "python -m acceptance",
        description="Makes a stack in your AWS account, deploys to it, breaks it, "
        "measures, and deletes everything that it made: docs/aws.md has more.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--stack", metavar="NAME", help="of the stack that is made")
    which.add_argument(
        "--clean-up", metavar="NAME", help="delete what an earlier run has left"
    )
    add = parser.add_argument
    add("--yes", action="store_true", help="do not ask before money is spent")
    add(
        "--address-kind",
        choices=tuple(AddressKind),
        type=AddressKind,
        default=AddressKind.ELASTIC_IP,
    )
    add("--only", metavar="PART,…", default="", help=f"of {', '.join(order.PARTS)}")
    add("--inventory", default="inventories/prod.py")
    add(
        "--data",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting, for every deploy",
    )
    add("--artifactory-token-secret", default="", help="the secret with its token")
    add(
        "--operator-cidr",
        default="",
        help="the network that this machine reaches private addresses from; without "
        f"it, an Instance Connect Endpoint is made, and used by `{TUNNEL}`",
    )
    add("--client-cidrs", default="0.0.0.0/0", help="the networks of clients")
    add("--client", default="", help="a command that runs a program where clients are")
    add("--message", default="", help=r"with {id}, and \r, \x0b; HL7 by default")
    add("--expect", default=EXPECT, help="a part of the answer to it")
    add("--port", type=int, default=PORT)
    add("--load-balancer-type", default=sizes.load_balancer_type)
    add("--application-type", default=sizes.application_type)
    add("--database-class", default=sizes.database_class)
    add("--application-nodes", type=int, choices=(1, 2), default=2)
    add("--folder", type=Path, default=FOLDER, help="for its own files")
    return parser


def _folder(given: argparse.Namespace) -> Path:
    """The folder of all runs with this stack's name, which its owner alone may read."""
    name = given.clean_up or given.stack
    if not STACK_NAME.fullmatch(name):
        raise PortwayError(
            f"{name} cannot name a stack",
            do="use letters, digits and dashes, a letter first",
        )
    folder: Path = given.folder.resolve() / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def _options(given: argparse.Namespace, folder: Path) -> Options:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
    if not region:
        raise PortwayError(
            "no AWS region is set", do="set AWS_REGION, such as us-east-1"
        )
    if wrong := [word for word in given.data if "=" not in word]:
        raise PortwayError(f"--data {wrong[0]}: it is not KEY=VALUE")
    return Options(
        stack=given.stack,
        region=region,
        folder=folder,
        kind=given.address_kind,
        sizes=Sizes(
            given.load_balancer_type,
            given.application_type,
            given.database_class,
            given.application_nodes,
        ),
        operator_cidr=given.operator_cidr,
        client_cidrs=given.client_cidrs,
        inventory=given.inventory,
        data=tuple(given.data),
        token_secret=given.artifactory_token_secret,
        client=given.client,
        message=unescaped(given.message) if given.message else MESSAGE,
        expect=unescaped(given.expect),
        port=given.port,
        only=tuple(filter(None, given.only.split(","))),
    )


def _ask(start: whole.Start, yes: bool) -> None:
    """Say what is made and what it costs, and go on only if the user wants it."""
    show("\n".join(plan(start)), sys.stdout)
    if yes:
        return
    if not sys.stdin.isatty():
        raise PortwayError(
            "there is no terminal to confirm the cost on; nothing was made",
            do="run it on a terminal, or with --yes",
        )
    print("Create this and accept the cost? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise PortwayError("nothing was made")


def plan(start: whole.Start) -> list[str]:
    """What a run makes, where and as whom, and what that costs."""
    options = start.options
    is_eip = options.kind is AddressKind.ELASTIC_IP
    sizes = options.sizes
    return [
        f"Account {start.run.account}, as {start.arn}.",
        f"This makes in {options.region}, and deletes at the end:",
        "  a key pair, and a role for the operator",
        f"  stack {options.stack}: a VPC, 2 load balancers "
        f"({sizes.load_balancer_type}), {sizes.application_nodes} application nodes "
        f"({sizes.application_type}),",
        f"  a database ({sizes.database_class}), "
        + ("an Elastic IP with an EC2 endpoint" if is_eip else f"a {options.kind}")
        + (", an Instance Connect Endpoint" if options.has_tunnel else ""),
        f"  its ports 9000 to 10999 are open to {options.client_cidrs}",
        f"Its own files are in {options.folder}.",
        *_warned(),
        "A whole run takes one to two hours. What an hour costs:",
        *prices.told(prices.estimate(sizes, elastic_ip=is_eip)),
    ]


def _warned() -> list[str]:
    """What may keep a run from deleting what it made."""
    if not cannot_be_renewed():
        return []
    return [
        "These credentials are temporary (AWS_SESSION_TOKEN is set) and cannot be "
        "renewed.",
        "If they expire within two hours, everything stays and is billed until "
        "--clean-up is run",
        "with new ones.",
    ]
