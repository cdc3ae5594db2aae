"""What people typed after ``pyinfra``: which deploys, and options that are refused.

Refused are options that would report a failure as success, or change nodes in an unsafe
order.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import PurePath
from typing import Any

import click
import gevent
from pyinfra.context import ctx_state

from portway.errors import PortwayError
from portway.ops.private_parts import (
    let_signals_end_prompts,
    never_ask_after_failure,
    spare_needless_work,
)

REFUSED = {
    "no_wait": "a failure would not stop the other nodes, nor fail the run",
    "serial": "nodes would be changed in random order, not the standby first",
    "fail_percent": "the second node must not be touched when the first has failed",
}


def deploys() -> tuple[str, ...]:
    """File names of the deploys to run; none for pyinfra's other commands."""
    words = (str(word) for word in _options().get("operations", ()))
    return tuple(PurePath(word).name for word in words if word.endswith(".py"))


@dataclass(frozen=True, slots=True)
class Invocation:
    """How this run was started."""

    deploys: str = ""
    """The deploys and the options that choose nodes, for people, on one line."""
    is_dry: bool = False
    """Whether it only shows what it would change."""
    can_ask: bool = False
    """Whether somebody can answer a question."""
    files: tuple[str, ...] = ()
    """File names of the deploys."""
    inventory: str = ""
    """The inventory, as it was typed."""


def invocation() -> Invocation:
    """How this run was started; to be asked before pyinfra turns to the hosts."""
    options = _options()
    words = list(map(str, options.get("operations", ())))
    for option in ("limit", "exclude"):
        for name in options.get(option) or ():
            words += [f"--{option}", str(name)]
    unattended = options.get("yes") or options.get("dry") or not sys.stdin.isatty()
    return Invocation(
        deploys=one_line(" ".join(words)) or "something",
        is_dry=bool(options.get("dry")),
        can_ask=not unattended,
        files=deploys(),
        inventory=str(options.get("inventory") or ""),
    )


def one_line(text: str) -> str:
    """Text that is shown on another terminal, without anything that could break it."""
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def stop_at_the_first_failure(
    then: str = "run it again to finish what was begun",
) -> None:
    """Make every failure and interruption end the run, with a status that says so.

    pyinfra would ask whether to go on to the next node after a failure, and would
    exit with status 0 when interrupted.
    """
    never_ask_after_failure(ctx_state.get())  # type: ignore[no-untyped-call]
    let_signals_end_prompts()
    spare_needless_work()
    _wake_for_signals()

    def end(number: int) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            click.echo(f"Interrupted; {then}.", err=True)
        sys.exit(128 + number)

    def interrupted(number: int, _: object) -> None:
        # What is raised here comes up wherever Python is: where a lock was just taken,
        # which nobody releases then, or where the interpreter drops it. So the run ends
        # where it waits next.
        gevent.spawn(end, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, interrupted)


@cache
def _wake_for_signals() -> object:
    """Have a signal end gevent's waiting.

    One that arrives when it has just begun to wait would be noticed with the next
    event only: at a prompt, when somebody types.
    """
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = gevent.get_hub().loop.io(reader, 1, ref=False)
    watcher.start(lambda: os.read(reader, 4096))
    return watcher


def refuse_unsafe_options(
    groups: Mapping[str, Collection[str]], changed: Collection[str]
) -> None:
    """Refuse unsafe options, with PortwayError.

    ``groups`` are the names of the nodes of each group, ``changed`` those of the nodes
    that the run would change.
    """
    options = _options()
    for option, reason in REFUSED.items():
        if options.get(option):
            flag = option.replace("_", "-")
            raise PortwayError(f"--{flag} cannot be used here: {reason}; leave it out")
    if options.get("dry") and options.get("yes"):
        raise PortwayError(
            "--dry together with -y shows nothing, because pyinfra then skips change "
            "detection",
            do="leave -y out",
        )
    everyone = {name for names in groups.values() for name in names}
    limit, exclude = options.get("limit") or (), options.get("exclude") or ()
    chosen = _matching("limit", limit, groups) if limit else everyone
    if not (chosen - _matching("exclude", exclude, groups)) & set(changed):
        raise PortwayError(
            "--limit and --exclude leave no node that this would change; there are "
            + ", ".join(sorted(changed))
        )


def _matching(
    option: str, patterns: Collection[str], groups: Mapping[str, Collection[str]]
) -> set[str]:
    """The nodes that an option names, as pyinfra finds them: groups, then patterns."""
    everyone = {name for names in groups.values() for name in names}
    chosen: set[str] = set()
    for pattern in patterns:
        named = groups.get(pattern) or {n for n in everyone if fnmatch(n, pattern)}
        if not named:
            raise PortwayError(
                f"--{option} {pattern} matches no node; there are "
                + ", ".join(sorted(everyone | set(groups)))
            )
        chosen.update(named)
    return chosen


def _options() -> Mapping[str, Any]:
    context = click.get_current_context(silent=True)
    return context.params if context else {}
