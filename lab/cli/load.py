"""``python -m lab load``."""

import argparse
import json
from collections.abc import Callable

from lab.errors import LabError
from lab.plan.names import Lab


def add_to(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add this verb."""
    load = add("load", _load, "send messages from many clients, and look for them")
    load.add_argument("--address", help="where to; the stack's address if not given")
    load.add_argument("--clients", type=int, default=20, metavar="N")
    load.add_argument("--json", action="store_true", help="for programs")
    for option, seconds, what in (
        ("seconds", 10.0, "how long to send"),
        ("pause", 0.1, "from an acknowledgement to the next message"),
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


def _load(lab: Lab, options: argparse.Namespace) -> None:
    from lab.lifecycle import status
    from lab.traffic import load
    from lab.traffic.acknowledgements import as_dict

    address = options.address or status.read(lab)["address"]["address"]
    if not address:
        raise LabError(f"lab {lab.name} is not up: python -m lab up")
    names = ("pause", "acknowledgement_timeout", "connect_timeout", "retry")
    report, lost = load.send(
        lab,
        address,
        options.clients,
        options.seconds,
        **{name: getattr(options, name) for name in names},
    )
    if options.json:
        print(json.dumps(as_dict(report) | {"missing": sorted(lost)}, indent=2))
    else:
        print(load.table(report, lost))
    if lost:
        raise LabError(f"{len(lost)} acknowledged messages are not in the database")
