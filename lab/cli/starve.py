"""``python -m lab starve``."""

import argparse
from collections.abc import Callable

from lab.plan.names import Lab


def add_to(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add this verb."""
    starve = add("starve", _starve, "starve and stall the pair, with several timings")
    for name, default, text in (
        ("adverts", [0.3], "seconds between adverts of keepalived"),
        ("falls", [0.5], "seconds without HAProxy until that counts"),
        ("patiences", [0.8], "seconds without an answer of HAProxy until that counts"),
    ):
        starve.add_argument(
            f"--{name}", type=float, nargs="+", default=default, help=text
        )
    starve.add_argument(
        "--rise", type=float, default=4.0, help="seconds until a recovery counts"
    )
    starve.add_argument("--times", type=int, default=1, metavar="N", help="rounds")
    starve.add_argument(
        "--only", nargs="*", metavar="NAME", help="measure these failures, or none"
    )


def _starve(lab: Lab, options: argparse.Namespace) -> None:
    from lab.failover import runner, starvation

    timings = starvation.timings(
        options.adverts, options.falls, options.patiences, options.rise
    )
    scenarios = starvation.SCENARIOS if options.only is None else options.only
    found = starvation.run(
        lambda: runner.settled(lab), timings, options.times, scenarios
    )
    print(f"\n{found}")
