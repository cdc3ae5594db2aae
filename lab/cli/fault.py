"""The command line of ``python -m lab fault``. It only reads arguments."""

import argparse
from collections.abc import Callable

from lab.aws.faults import METADATA
from lab.faults.rules import EVERYTHING, PROTOCOLS
from lab.plan.names import Lab

_Run = Callable[[Lab, argparse.Namespace], None]


def add_to(add_verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Add this verb and its kinds of faults; each runs by ``options.set_fault``."""
    parser = add_verb("fault", None, "break something, or heal all of it")
    kinds = parser.add_subparsers(required=True, metavar="FAULT")
    parser.set_defaults(run=lambda lab, options: options.set_fault(lab, options))

    def add(name: str, help_: str, run: _Run) -> argparse.ArgumentParser:
        kind = kinds.add_parser(name, help=help_, description=help_)
        kind.set_defaults(set_fault=run)
        return kind

    _add_hosts(add)
    _add_units(add)
    _add_links(add)
    _add_aws(add)
    add("heal", "undo everything, and wait for hosts that were off", _heal)
    add("list", "the active faults, one per line", _list)


_Add = Callable[[str, str, _Run], argparse.ArgumentParser]


def _add_hosts(add: _Add) -> None:
    for name, help_ in (
        ("freeze", "stop a whole host where it is"),
        ("thaw", "let a frozen host run on"),
        ("power-off", "cut a host's power"),
        ("power-on", "switch a host on, without waiting for its boot"),
        ("reboot", "have a host reboot itself in good order"),
    ):
        add(name, help_, _call(name, "node")).add_argument("node", metavar="NODE")
    clock = add(
        "clock",
        "make a node's wall clock wrong for its services",
        _call("clock", "node", "seconds"),
    )
    clock.add_argument("node", metavar="NODE")
    clock.add_argument("seconds", type=float, metavar="SECONDS")


def _add_units(add: _Add) -> None:
    for name, help_ in (
        ("kill", "kill all processes of a unit"),
        ("hang", "stop all processes of a unit where they are"),
        ("resume", "let the processes of a unit run on"),
        ("stop", "have systemd stop a unit"),
        ("start", "have systemd start a unit"),
    ):
        kind = add(name, help_, _call(name, "node", "unit"))
        kind.add_argument("node", metavar="NODE")
        kind.add_argument("unit", metavar="UNIT")


def _add_links(add: _Add) -> None:
    end = (
        "a node, operator, customer, customer-2, aws (its API), imds, artifactory "
        f"or {EVERYTHING}"
    )
    for name, help_, amount in (
        ("cut", "lose all packets between A and B", ""),
        ("drop", "lose some packets between A and B", "PERCENT"),
        ("delay", "deliver packets between A and B later, each way", "MILLISECONDS"),
    ):
        words = ("a", "b", "amount") if amount else ("a", "b")
        named = ("one_way",) if amount else ("one_way", "only")
        kind = add(name, help_, _call(name, *words, named=named))
        kind.add_argument("a", metavar="A", help=end)
        kind.add_argument("b", metavar="B", help="the same")
        if amount:
            kind.add_argument("amount", type=float, metavar=amount)
        kind.add_argument(
            "--one-way", action="store_true", help="only packets from A to B"
        )
        if not amount:
            kind.add_argument(
                "--only", choices=PROTOCOLS, default="", help="only this protocol"
            )


def _add_aws(add: _Add) -> None:
    aws = add("aws", "make AWS slow or unwilling", _aws)
    kinds = aws.add_subparsers(required=True, dest="kind", metavar="KIND")
    for name, help_ in (
        ("slow", "carry requests out, and answer late"),
        ("late", "carry requests out late"),
        ("throttle", "refuse: too many requests"),
        ("fail", "fail with an internal error"),
        ("deny", "refuse: not authorized"),
        ("down", "lose connections without an answer (this is a cut)"),
    ):
        kind = kinds.add_parser(name, help=help_, description=help_)
        if name in ("slow", "late"):
            kind.add_argument("milliseconds", type=float, metavar="MILLISECONDS")
        kind.add_argument(
            "--action",
            dest="actions",
            action="append",
            metavar="NAME",
            help="only this action, as in AssociateAddress; may be given again",
        )
        _add_source(kind)
    words = "make the instance metadata service fail, or give a spot notice"
    imds = add("imds", words, _imds)
    imds.add_argument("kind", choices=tuple(METADATA))
    _add_source(imds)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="source", metavar="NODE", help="only for this node"
    )


def _call(name: str, *words: str, named: tuple[str, ...] = ()) -> _Run:
    """Call the function of ``lab.faults.interface`` with this name and options."""

    def run(lab: Lab, options: argparse.Namespace) -> None:
        from lab.faults import interface as faults

        function = getattr(faults, name.replace("-", "_"))
        given = vars(options)
        function(lab, *(given[w] for w in words), **{n: given[n] for n in named})

    return run


def _aws(lab: Lab, options: argparse.Namespace) -> None:
    from lab.faults import interface as faults

    milliseconds = getattr(options, "milliseconds", 0)
    actions = tuple(options.actions or ())
    faults.aws(lab, options.kind, milliseconds, actions=actions, source=options.source)


def _imds(lab: Lab, options: argparse.Namespace) -> None:
    from lab.faults import interface as faults

    faults.imds(lab, options.kind, source=options.source)


def _heal(lab: Lab, options: argparse.Namespace) -> None:
    from lab.faults import interface as faults

    del options
    faults.heal(lab)


def _list(lab: Lab, options: argparse.Namespace) -> None:
    from lab.faults import interface as faults

    del options
    for line in faults.in_force(lab):
        print(line)
