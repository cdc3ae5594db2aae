"""The command line of the lab: ``python -m lab``. It only reads arguments."""

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from lab import fault_commands
from lab.errors import LabError
from lab.names import Lab, chosen


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the result is the process's exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(chosen(options.name), options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _up(lab: Lab, options: argparse.Namespace) -> None:
    from lab import lifecycle, status

    lifecycle.up(
        lab, options.app_nodes, options.suite, options.database, options.address_kind
    )
    print(status.table(status.read(lab)), end="")


def _down(lab: Lab, options: argparse.Namespace) -> None:
    from lab import lifecycle

    del options
    lifecycle.down(lab)


def _demo(lab: Lab, options: argparse.Namespace) -> None:
    from lab import demo

    del options
    demo.run(lab)


def _status(lab: Lab, options: argparse.Namespace) -> None:
    from lab import status

    read = status.read(lab)
    print(json.dumps(read, indent=2) if options.json else status.table(read).rstrip())


def _run(lab: Lab, options: argparse.Namespace) -> None:
    from lab import commands

    commands.run_as_operator(lab, _command(options))


def _client(lab: Lab, options: argparse.Namespace) -> None:
    from lab import commands

    commands.run_as_customer(lab, options.source, _command(options))


def _exec(lab: Lab, options: argparse.Namespace) -> None:
    from lab import commands

    commands.run_on_host(lab, options.node, _command(options))


def _env(lab: Lab, options: argparse.Namespace) -> None:
    from lab import commands

    del options
    for key, value in sorted(commands.environment(lab).items()):
        print(f"export {key}={shlex.quote(value)}")


def _load(lab: Lab, options: argparse.Namespace) -> None:
    from lab import load
    from lab.acknowledgements import as_dict

    manners = ("pause", "acknowledgement_timeout", "connect_timeout", "retry")
    report, lost = load.send(
        lab,
        options.address,
        options.clients,
        options.seconds,
        **{name: getattr(options, name) for name in manners},
    )
    if options.json:
        print(json.dumps(as_dict(report) | {"missing": sorted(lost)}, indent=2))
    else:
        print(load.table(report, lost))
    if lost:
        raise LabError(f"{len(lost)} acknowledged messages are not in the database")


def _failover(lab: Lab, options: argparse.Namespace) -> None:
    from lab.failover import command

    if options.list:
        command.show()
        return
    if options.redraw:
        if not options.json:
            raise LabError("say with --json FILE what to draw")
        command.write_report(command.load(options.json))
        return
    run = command.run_every_kind if options.every_kind else command.run
    outcomes = run(lab, options.only)
    failed = not all(outcome.passed for outcome in outcomes)
    if options.json:
        outcomes = command.merged(options.json, outcomes)
        command.save(options.json, outcomes)
    if options.readme:
        command.write_report(outcomes)
    if failed:
        raise LabError("scenarios failed")


def _command(options: argparse.Namespace) -> list[str]:
    command: list[str] = options.command
    return command[1:] if command[:1] == ["--"] else command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="Portway's whole system on one machine: hosts, a VPC, AWS, "
        "an operator and customers. Nothing outside the machine is contacted.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--name", help="the lab's name (PORTWAY_LAB in the environment, or portway)"
    )

    def add(name: str, run: object, help_: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=help_, description=help_, parents=[common]
        )
        command.set_defaults(run=run)
        return command

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
        choices=("elastic-ip", "private-address", "route", "vrrp"),
        help="what moves when a load balancer fails, when the stack is created: "
        "elastic-ip by default; vrrp alone leads nowhere in a VPC",
    )
    add("demo", _demo, "show the main job: a stack, one command, and real traffic")
    add("down", _down, "remove the lab and everything of it but the disk images")
    status = add("status", _status, "show what is there")
    status.add_argument("--json", action="store_true", help="for programs")
    _add_load(add)
    _add_failover(add)
    run = add("run", _run, "run a command as the operator: python -m lab run -- CMD")
    client = add("client", _client, "run a command as a customer")
    client.add_argument(
        "--from", dest="source", metavar="ADDRESS", help="the customer at this address"
    )
    execute = add("exec", _exec, "run a command as root on a host")
    execute.add_argument("node", metavar="NODE")
    for command in (run, client, execute):
        command.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD")
    fault_commands.add_to(add("fault", None, "break something, or heal all of it"))
    add("env", _env, "print the operator's environment for a shell to read")
    return parser


def _add_load(add: Callable[..., argparse.ArgumentParser]) -> None:
    load = add("load", _load, "send messages from many clients, and look for them")
    load.add_argument("--address", help="where to; the stack's address if not given")
    load.add_argument("--clients", type=int, default=20, metavar="N")
    load.add_argument("--json", action="store_true", help="for programs")
    for option, seconds, what in (
        ("seconds", 10.0, "how long to send"),
        ("pause", 0.05, "from an acknowledgement to the next message"),
        ("acknowledgement-timeout", 1.0, "until a message is sent again"),
        ("connect-timeout", 0.5, "until a connection is given up"),
        ("retry", 0.1, "from a failure to the next connection"),
    ):
        load.add_argument(
            f"--{option}",
            type=float,
            default=seconds,
            metavar="S",
            help=f"seconds: {what} ({seconds:g})",
        )


def _add_failover(add: Callable[..., argparse.ArgumentParser]) -> None:
    failover = add("failover", _failover, "break the pair and see what clients notice")
    failover.add_argument(
        "--every-kind",
        action="store_true",
        help="in a new lab for each kind of address; else in the one that is up",
    )
    failover.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="these scenarios"
    )
    failover.add_argument("--list", action="store_true", help="say which there are")
    failover.add_argument(
        "--json", type=Path, metavar="FILE", help="keep the outcomes there, with others"
    )
    failover.add_argument(
        "--readme", action="store_true", help="write table and picture for README.md"
    )
    failover.add_argument(
        "--redraw", action="store_true", help="write them from FILE; run nothing"
    )


if __name__ == "__main__":
    sys.exit(main())
