"""Keeps a lab's hosts in step with AWS until it is interrupted or the lab is down."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.aws import present, stack
from lab.errors import LabError
from lab.ground import namespaces
from lab.ground.machine import check_machine
from lab.ground.progress import say
from lab.lifecycle import remembered
from lab.lifecycle.lock import alone
from lab.lifecycle.reconcile import images, reconcile, wanted
from lab.plan.names import OPERATOR, Lab
from lab.plan.records import Host

PAUSE_SECONDS = 2.0
"""From one look to the next."""


class Ending:
    """Ends the process with KeyboardInterrupt on SIGINT and SIGTERM, and notes it.

    The interpreter drops what is raised while it finalizes an object: it tells of it on
    standard error, and goes on. So who has a loop asks before each turn.
    """

    def __init__(self) -> None:
        self.was_asked = False
        # A shell starts what it runs in the background with SIGINT ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._take)

    def _take(self, *_: object) -> None:
        self.was_asked = True
        raise KeyboardInterrupt


class Once:
    """Says what is wrong when it begins, and nothing while it stays the same."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, text: str) -> None:
        """Say a text that is not empty, unless it was the last one."""
        if text and text != self._last:
            say(text)
        self._last = text


def follow(lab: Lab) -> None:
    """Bring the hosts to what AWS says, again and again, until the lab is down.

    SIGTERM ends it as SIGINT does. What goes wrong is said, and tried again.
    """
    check_machine()
    ending = Ending()
    settled: set[Host] = set()
    warn, complain = Once(), Once()
    with suppress(KeyboardInterrupt), _held(lab.directory) as directory:
        say(f"following the AWS of lab {lab.name}")
        while not ending.was_asked:
            with alone(lab):
                if not _is_still(lab.directory, directory):
                    say(f"lab {lab.name} was taken down")
                    return
                try:
                    warn(look(lab, settled))
                    complain("")
                except Exception as error:  # whatever it is, AWS goes on
                    settled.clear()  # it may have ended anywhere
                    complain(_described(error))
            time.sleep(PAUSE_SECONDS)


def look(lab: Lab, settled: set[Host]) -> str:
    """Do once what AWS and the machine need; what to say of stacks without hosts.

    Whoever calls it must be ``alone``; ``settled`` are hosts that need nothing.
    """
    start_from = images(remembered.suite(lab))
    with namespaces.within(lab, OPERATOR):
        stack.keep_groups()
        stack.name_instances()
        machines = stack.machines()
        present_hosts = wanted(machines, start_from)
        reconcile(lab, machines, present_hosts, settled, patient=False)
        return present.too_many(stack.names())


def _described(error: Exception) -> str:
    text = str(error) if isinstance(error, LabError) else repr(error)
    return f"trying again: {text}"


@contextmanager
def _held(path: Path) -> Iterator[int]:
    """A directory held open, so that another one in its place can be told from it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LabError(
            f"lab {path.name} is not up: python -m lab up --no-stack"
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether a directory is the one that is held open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
