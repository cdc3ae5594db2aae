"""Application nodes come and go without a reload, and a reload forgets nothing."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from lab.faults import interface as faults
from lab.plan.names import Lab
from tests.lab.deploys.membership import join, leave, processes, swap
from tests.lab.system import System, changes, output, stream, wait_until

LOAD_BALANCERS = ("lb-1", "lb-2")
SET = 'echo "{}" | socat - UNIX-CONNECT:/run/haproxy/admin.sock'
STANDING = (
    f"hostname; {SET.format('show table tcp_ordered; show servers state tcp_ordered')};"
    "journalctl -q -u portway-streams -n 20 --no-pager"
)
"""A script that shows why an ordered client is where it is."""
RELOADS = "/var/lib/portway/haproxy-reloads.json"


def test_nodes_go_come_and_are_replaced_without_a_reload(settled: System) -> None:
    changes_without_reloads(settled)


def changes_without_reloads(system: System) -> None:
    """Have a node go, come back and get another address, under streams."""
    nodes = system.addresses("application")
    before = {node: processes(system, node) for node in LOAD_BALANCERS}
    with streams(system, 8) as held:
        staying = [last for last, node in held if node == "app-1"]
        going = [last for last, node in held if node == "app-2"]
        member = leave(system, nodes["app-2"])
        text = output(system.deploy("-y", "--data", "drain_timeout=3"))
        assert text.count("no reload: app-2 removed") == 2, text
        assert f"closes {len(going)} streams" in text or not going, text
        assert system.answering_nodes(9001) == {"app-1"}
        assert system.ask(9003).startswith("app-1 ")
        assert all(last() for last in staying)

        join(system, member)
        text = output(system.deploy())
        assert text.count("no reload: app-2 added") == 2, text
        # It has the fewest connections: the others are streams.
        assert system.answering_nodes(9001) == {"app-2"}
        assert system.ask(9003).startswith("app-1 "), "the ordered client stays"

        swap(system, nodes["app-1"], nodes["app-2"])
        text = output(system.deploy())
        assert text.count("no reload: app-1, app-2 replaced") == 2, text
        assert system.answering_nodes(9001) == {"app-1"}, "it is app-2 now"
        swap(system, nodes["app-1"], nodes["app-2"])
        text = without_permission(system, system.holder)
        assert text.count("no reload: app-1, app-2 replaced") == 2, text
        assert re.search(r"could not move the address:\s+ec2:AssociateAddress", text)
        assert all(last() for last in staying), "both nodes stay, with their streams"
    assert {node: processes(system, node) for node in LOAD_BALANCERS} == before
    assert changes(system.deploy()) == 0


def without_permission(system: System, node: str) -> str:
    """What a run says that fails because a node may not move the address.

    Nodes that come do not wait until that is found out; the run still says it.
    """
    lab = Lab(system.name)
    faults.aws(lab, "deny", actions=("AssociateAddress",), source=node)
    try:
        failed = system.deploy(check=False)
    finally:
        faults.heal_aws(lab)
    assert failed.returncode != 0
    return output(failed)


@contextmanager
def streams(
    system: System, count: int
) -> Iterator[list[tuple[Callable[[], int], str]]]:
    """Streams held open, each with the node that HAProxy gave it to."""
    with ExitStack() as stack:
        found: list[tuple[Callable[[], int], str]] = []
        known = set(sessions(system))
        for _ in range(count):
            last = stack.enter_context(stream(system, 9001))
            lines = sessions(system)
            (new,) = lines.keys() - known
            known = set(lines)
            found.append((last, lines[new]))
        yield found


def sessions(system: System) -> dict[str, str]:
    """The node of each stream of client_one, by the stream's id in HAProxy."""
    lines = system.node(system.holder, SET.format("show sess")).stdout.splitlines()
    rows = [line.split() for line in lines if "fe=client_one " in line]
    return {row[0]: row[5].removeprefix("srv=") for row in rows}


def test_reload_by_anybody_keeps_drains_and_is_counted(settled: System) -> None:
    reload_keeps_drains(settled)


def reload_keeps_drains(system: System) -> None:
    """Drain a node by hand, reload by hand, and deploy again."""
    node = system.holder
    shown = SET.format("show stat") + " | grep ,app-1, | cut -d, -f1,18 | sort -u"
    paths = [line.split(",")[0] for line in system.node(node, shown).stdout.split()]
    drain = "; ".join(f"set server {path}/app-1 state drain" for path in paths)
    counts = reloads(system, node)
    system.node(node, SET.format(drain))
    try:
        system.reload_haproxy(node)
        wait_until(
            lambda: all(
                line.endswith("DRAIN")
                for line in system.node(node, shown).stdout.split() or [""]
            ),
            10,
            "every server of app-1 is drained in the new process",
        )
        assert system.answering_nodes(9001) == {"app-2"}
        text = output(system.deploy())
        assert "reload: what HAProxy runs is not recorded" in text
        assert system.answering_nodes(9001) == {"app-2"}
        after = reloads(system, node)
        assert after["by-hand"] == counts.get("by-hand", 0) + 1
        assert after["unknown"] == counts.get("unknown", 0) + 1
    finally:
        system.node(node, SET.format(drain.replace("drain", "ready")))
    assert changes(system.deploy()) == 0
    # Clients of an ordered backend go back only to a node that was up for a while.
    try:
        wait_until(lambda: system.ask(9003).startswith("app-1 "), 15, "app-1 preferred")
    except AssertionError as error:
        error.add_note(f"now it is {system.ask(9003)!r}")
        for lb in LOAD_BALANCERS:
            error.add_note(system.node(lb, STANDING, check=False).stdout)
        raise


def reloads(system: System, node: str) -> dict[str, int]:
    """How often HAProxy was reloaded on a node, by the kind of reason."""
    text = system.node(node, f"cat {RELOADS} 2>/dev/null || echo '{{}}'").stdout
    found: dict[str, int] = json.loads(text).get("counts", {})
    return found
