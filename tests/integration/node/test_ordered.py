"""``ordered`` clients never have streams on two nodes, whatever happens to those."""

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from portway.contract.streams import HELD
from portway.load_balancers.server_changes import ServerChange
from tests.integration.node.balancer import (
    Balancer,
    Node,
    balancer,
    is_open,
    senders,
    wait_until,
)
from tests.integration.ports import not_accepting

CLIENT = {"client_name": "one", "ordered": True}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Balancer]:
    """Three nodes, one ordered client, and the keeper; ready to serve."""
    with balancer(tmp_path, [CLIENT]) as found:
        found.start_keeper()
        wait_until(lambda: is_approved(found))
        yield found


def is_approved(running: Balancer) -> bool:
    (backend,) = running.haproxy.backends(["tcp_ordered"]).values()
    return backend.is_approved


def settled_on(running: Balancer, name: str, seconds: float = 20) -> None:
    wait_until(lambda: running.active(running.ports[0]) == name, seconds)


def test_failed_node_s_streams_end_before_the_next_node_gets_one(
    running: Balancer,
) -> None:
    """Also one that is older than a reload."""
    old = running.connect(running.ports[0])
    settled_on(running, "app-1")
    running.reload()
    with senders(running.ports[0], 4) as found:
        settled_on(running, "app-1")
        assert is_open(old)
        running.node("app-1").healthy = False
        settled_on(running, "app-2")
        assert not is_open(old)
    assert running.overlaps == []
    assert max(sender.gap() for sender in found) < 2 * HELD + 1


def test_better_nodes_take_over_one_after_the_other_between_two_messages(
    running: Balancer,
) -> None:
    with senders(running.ports[0], 4, pause=0.3) as found:
        running.node("app-1").healthy = running.node("app-2").healthy = False
        settled_on(running, "app-3")
        old = running.connect(running.ports[0])
        running.reload()
        cut = sum(sender.unanswered for sender in found)
        running.node("app-2").healthy = True
        settled_on(running, "app-2")
        assert not is_open(old)
        running.node("app-1").healthy = True
        settled_on(running, "app-1")
        assert sum(sender.unanswered for sender in found) == cut
    assert running.overlaps == []


@pytest.mark.alone
def test_drained_node_s_streams_end_between_two_messages(running: Balancer) -> None:
    old = running.connect(running.ports[0])
    settled_on(running, "app-1")
    running.reload()
    with senders(running.ports[0], 4, pause=0.3) as found:
        running.set_state("app-1", "drain")
        settled_on(running, "app-2", seconds=3)
        assert not is_open(old)
        running.set_state("app-2", "drain")
        settled_on(running, "app-3", seconds=3)
        running.set_state("app-2", "ready")
        running.set_state("app-1", "ready")
        settled_on(running, "app-1")
    assert running.overlaps == []
    assert [sender.unanswered for sender in found] == [0] * 4


def test_reload_keeps_the_node_that_has_the_streams(running: Balancer) -> None:
    """Although the first one is up again when the new worker starts."""
    running.node("app-1").healthy = False
    with senders(running.ports[0], 2) as found:
        settled_on(running, "app-2")
        running.node("app-1").healthy = True
        running.reload()
        running.stop_keeper()
        running.start_keeper()  # it has forgotten, too
        running.reload()
        assert running.active(running.ports[0]) in ("app-2", "")
        settled_on(running, "app-1")
    assert running.overlaps == []
    assert max(sender.gap() for sender in found) < 2 * HELD + 1


def test_without_its_keeper_clients_are_served_and_with_it_kept_together(
    running: Balancer,
) -> None:
    """Availability first; and this test sees two nodes where there are two."""
    old = running.connect(running.ports[0])
    settled_on(running, "app-1")
    running.reload()
    running.stop_keeper()
    running.node("app-1").healthy = False
    time.sleep(3)  # no check reaches the older worker
    with senders(running.ports[0], 1):
        assert running.live(running.ports[0]).keys() == {"app-1", "app-2"}
        assert len(running.overlaps) == 1
        running.start_keeper()
        settled_on(running, "app-2", seconds=3)
    assert not is_open(old)


def test_who_connects_to_a_dead_node_keeps_nobody_from_the_better_one(
    tmp_path: Path,
) -> None:
    """Its health page answers, and its port does not."""
    with balancer(tmp_path, [CLIENT], connect_timeout=30) as running:
        running.start_keeper()
        (port,) = running.ports
        running.node("app-1").healthy = False
        with senders(port, 1):
            settled_on(running, "app-2")
        running.close_port("app-2", port)
        with not_accepting((running.node("app-2").address, port)):
            connecting = [running.connect(port) for _ in range(3)]
            running.node("app-1").healthy = True

            def is_served() -> bool:
                with running.connect(port) as stream, suppress(TimeoutError):
                    stream.settimeout(1.5)
                    stream.sendall(b"message")
                    return stream.recv(100) == b"app-1"
                return False

            wait_until(is_served)
            assert all(map(is_open, connecting))


def test_one_node_through_a_bad_minute(running: Balancer) -> None:
    """Reloads, failures, returns and drains in any order, under load."""
    dice = random.Random(9)
    with senders(running.ports[0], 6) as found:
        end = time.monotonic() + 15
        while time.monotonic() < end:
            node = dice.choice(running.nodes)
            others = [n for n in running.nodes if n is not node and n.healthy]
            what = dice.choice(("reload", "health", "drain", "ready"))
            if what == "reload":
                running.reload()
            elif what == "health":
                node.healthy = not node.healthy or not others
            elif what == "ready" or others:
                running.set_state(node.name, what)
            time.sleep(dice.uniform(0, 1.5))
    assert running.overlaps == []
    assert all(len(sender.answers) > 50 for sender in found)


ONE, TWO, THREE = (
    ("app-1", "127.0.0.11"),
    ("app-2", "127.0.0.12"),
    ("app-3", "127.0.0.13"),
)


def test_nodes_of_ordered_clients_change_under_load_without_a_reload(
    running: Balancer,
) -> None:
    """Added, preferred, replaced while active, and removed; all of them serve on."""
    old = running.connect(running.ports[0])
    settled_on(running, "app-1")
    running.reload()
    four, fresh = Node("app-4", "127.0.0.14"), Node("app-1", "127.0.0.15")
    running.nodes += [four, fresh]
    running.listen(four)
    running.listen(fresh)
    port = running.ports[0]
    with senders(port, 4, pause=0.3) as found:
        pid = running.pid()

        def deploy(*nodes: tuple[str, str]) -> None:
            assert isinstance(running.deploy(nodes), ServerChange)

        def at(address: str) -> None:
            wait_until(lambda: running.addresses(port) == {address}, 20)

        deploy(ONE, TWO, THREE, ("app-4", four.address))
        deploy(("app-1", fresh.address), TWO, THREE, ("app-4", four.address))
        assert not is_open(old)
        at(fresh.address)
        deploy(TWO, ("app-4", four.address))
        at(TWO[1])
        deploy(("app-4", four.address), TWO, THREE)
        at(four.address)
        deploy(THREE)
        at(THREE[1])
        deploy(ONE, TWO, THREE)
        at(ONE[1])
        assert running.pid() == pid
    assert running.overlaps == []
    assert max(sender.gap() for sender in found) < 5


def test_only_node_of_ordered_clients_is_replaced_in_a_moment(
    running: Balancer,
) -> None:
    port = running.ports[0]
    running.deploy([ONE])
    old = running.connect(port)
    settled_on(running, "app-1")
    running.reload()
    fresh = Node("app-1", "127.0.0.15")
    running.nodes.append(fresh)
    running.listen(fresh)
    with senders(port, 4) as found:
        assert isinstance(running.deploy([("app-1", fresh.address)]), ServerChange)
        wait_until(lambda: running.addresses(port) == {fresh.address})
        wait_until(lambda: not is_open(old))
    assert running.overlaps == []
    assert max(sender.gap() for sender in found) < 5


def test_nodes_change_while_the_keeper_is_dead(running: Balancer) -> None:
    """Clients are served; those of a node that goes get their drain."""
    running.stop_keeper()
    port = running.ports[0]
    with senders(port, 2) as found:
        assert isinstance(running.deploy([TWO, THREE]), ServerChange)
        wait_until(lambda: running.active(port) in ("app-2", "app-3"))
        assert isinstance(running.deploy([ONE]), ServerChange)
        settled_on(running, "app-1")
    assert max(sender.gap() for sender in found) < 5
