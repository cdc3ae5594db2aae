"""The address moves: on purpose, and because keepalived has stopped."""

import contextlib
import re
import threading
import time
from collections.abc import Callable
from functools import partial

from acceptance.parts.view import Move, View
from acceptance.terminal.waiting import say
from portway.aws.reading import address_reader
from portway.errors import PortwayError
from portway.model.stack import Node

FAIL_BACK_SECONDS = 240
"""How long it may take until the master of record has the address back."""
LONGEST_MOVE = 30
"""Seconds: a move that takes longer is none that was expected."""
LOOK_SECONDS = 0.3
LAST_LOOK_SECONDS = 5
SETTLE_SECONDS = 3
"""After a move, until what clients noticed of it has been told."""


class Watch:
    """Looks all the while whether AWS shows that a node has the address."""

    def __init__(self, view: View, target: Node) -> None:
        self._read = address_reader(view.stack())
        self._target = target.interface_id
        self._shown_at: float | None = None
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ends.wait(LOOK_SECONDS):
            with contextlib.suppress(PortwayError):  # it may be throttled
                if {found.holder for found in self._read()} == {self._target}:
                    self._shown_at = time.time()
                    return

    def stop(self) -> float | None:
        """Look no more; returns when it was shown first."""
        if self._thread.is_alive():
            self._thread.join(LAST_LOOK_SECONDS)
        self._ends.set()
        return self._shown_at


def transfer(view: View) -> str:
    """Hand the address over and back; what clients noticed."""
    first = _holder(view)
    second = other(view, first)
    return "; ".join(
        _moved(
            view,
            f"to {target.name}",
            target,
            partial(view.deploys.deploy, "transfer", f"transfer_to={target.name}"),
        )
        for target in (second, first)
    )


def keepalived(view: View) -> str:
    """Stop keepalived on the master and start it again; what clients noticed."""
    master = _holder(view)
    peer = other(view, master)
    lost = _moved(
        view,
        f"keepalived stopped on {master.name}",
        peer,
        lambda: _systemctl(view, master, "stop"),
    )
    is_of_record = view.balancers()[0] == master
    began = time.time()
    _systemctl(view, master, "start")
    if not is_of_record:
        return f"{lost}; started again, and the address stays with {peer.name}"
    say(f"  waiting for {master.name} to take the address back")
    view.wait_for_holder(lambda eni: eni == master.interface_id, FAIL_BACK_SECONDS)
    shown = time.time() - began
    view.client().wait_until_served(time.time())
    time.sleep(SETTLE_SECONDS)
    back = view.client().measured(began)
    return f"{lost}; started again, back after {shown:.0f} s: {back}"


def other(view: View, node: Node) -> Node:
    """The load balancer that is not this one."""
    return next(n for n in view.balancers() if n.instance_id != node.instance_id)


def _holder(view: View) -> Node:
    holder = view.holder()
    if holder is None:
        raise PortwayError(
            f"the address of stack {view.options.stack} points to no load balancer"
        )
    return holder


def _moved(view: View, what: str, target: Node, act: Callable[[], object]) -> str:
    """Have the address move to a node, and note what was seen of it."""
    former = view.holder()
    watch = Watch(view, target)
    began = time.time()
    done = act()
    fault = _said_time(r"acts at (\d+\.\d+)", done, began)
    view.wait_for_holder(lambda eni: eni == target.interface_id)
    shown_at = watch.stop()
    view.client().wait_until_served(time.time())
    time.sleep(SETTLE_SECONDS)
    called = view.deploys.on_node(target.name, "portway-address status --json")
    moved = _said_time(r'"last_move": (\d+\.\d+)', called, began)
    # Of a transfer, what counts is when the node called AWS.
    began = fault if fault > began else moved
    return remember(view, what, began, former, target, shown_at)


def remember(  # noqa: PLR0913, PLR0917 - everything that was seen of a move
    view: View,
    what: str,
    began: float,
    former: Node | None,
    holder: Node | None,
    shown_at: float | None,
) -> str:
    """Note a move; what clients noticed of it, in words.

    PortwayError if it took too long.
    """
    traffic = view.client().measured(began)
    streams = tuple(view.client().streams_ended(began))
    shown = None if shown_at is None else max(shown_at - began, 0.0)
    view.moves.append(
        Move(what, began, former, holder, shown, streams, traffic.served_again)
    )
    longest = max(shown or 0.0, traffic.served_again or 0.0)
    if longest > LONGEST_MOVE:
        raise PortwayError(
            f"{what}: the address took {longest:.0f} s to move, at most "
            f"{LONGEST_MOVE} s are expected",
            why=str(traffic),
        )
    return f"{what}: {traffic}"


def _said_time(pattern: str, done: object, otherwise: float) -> float:
    """When something was done on a node, by its own clock, if that can be right."""
    found = re.search(pattern, getattr(done, "output", ""))
    if found is None:
        return otherwise
    return min(max(float(found[1]), otherwise), time.time())


def _systemctl(view: View, node: Node, verb: str) -> object:
    script = f"echo acts at $(date +%s.%N); systemctl {verb} keepalived"
    return view.deploys.on_node(node.name, script)
