"""An address of kind ``vrrp`` moves by gratuitous ARP on a network that honours it.

The lab's network is a VPC, which does not. So this is a switch of its own, with two
nodes that run the rendered keepalived.conf and a client that knows ARP only.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from portway.cluster import build_cluster
from portway.node.address.config import FIFO, TRANSFER
from portway.node.address.places import AddressKind
from portway.render import CHECK_SCRIPT, KEEPALIVED_CONFIG, load_balancer
from portway.stack import VirtualAddress
from tests.lab.system import wait_until
from tests.unit.samples import clients, settings, stack

ADDRESS = "10.60.0.250"
CLIENT = "10.60.0.200"
SWITCH, OUTSIDE = "pwlan-switch", "pwlan-client"


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout


def within(namespace: str, *words: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", namespace, *words)


@contextmanager
def lan(addresses: dict[str, str]) -> Iterator[None]:
    """Namespaces on one switch, each with an address."""
    names = (SWITCH, *addresses)
    try:
        for name in names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", SWITCH, "link", "add", "lan", "type", "bridge")
        run("ip", "-n", SWITCH, "link", "set", "lan", "up")
        for number, (name, address) in enumerate(addresses.items()):
            port = f"port{number}"
            peer = ("peer", "name", port, "netns", SWITCH)
            run("ip", "-n", name, "link", "add", "eth0", "type", "veth", *peer)
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", SWITCH, "link", "set", port, "master", "lan", "up")
        yield
    finally:
        for name in names:
            subprocess.run(("ip", "netns", "delete", name), check=False)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """keepalived on both nodes, and beside it a server that says whose it is."""
    virtual = VirtualAddress(AddressKind.VRRP, ADDRESS, ())
    cluster = build_cluster(
        replace(stack(), virtual_address=virtual), settings(), clients()
    )
    nodes = {lb.name: lb for lb in cluster.load_balancers}
    addresses = {f"pwlan-{n}": lb.node.address for n, lb in nodes.items()}
    with lan({**addresses, OUTSIDE: CLIENT}):
        started: dict[str, subprocess.Popen[bytes]] = {}
        servers = []
        for name, lb in nodes.items():
            folder = tmp_path / name
            folder.mkdir()
            (folder / "check").write_text("#!/bin/sh\nexit 0\n")
            (folder / "check").chmod(0o755)
            text = load_balancer(cluster, lb, "eth0").file(KEEPALIVED_CONFIG).content
            for path, own in (
                (CHECK_SCRIPT, "check"),
                (str(FIFO), "fifo"),
                (str(TRANSFER), "transfer"),
            ):
                text = text.replace(path, str(folder / own))
            config = folder / "keepalived.conf"
            config.write_text(text)
            config.chmod(0o600)
            pids = ("-p", str(folder / "pid"), "-r", str(folder / "vrrp.pid"))
            options = ("--dont-fork", "--log-console", "--vrrp", "-f", str(config))
            command = within(f"pwlan-{name}", "keepalived", *options, *pids)
            with (folder / "log").open("wb") as log:
                started[name] = subprocess.Popen(command, stdout=log, stderr=log)
            server = f"TCP-LISTEN:9001,fork,reuseaddr SYSTEM:'echo {name}'"
            words = within(f"pwlan-{name}", "socat", *server.split(" ", 1))
            servers.append(subprocess.Popen(words))
        try:
            yield started
        finally:
            for process in (*started.values(), *servers):
                process.kill()
                process.wait()


def asked() -> str:
    """Who answers a client at the address now."""
    words = within(
        OUTSIDE, "socat", "-T1", "-", f"TCP:{ADDRESS}:9001,connect-timeout=1"
    )
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def seconds_until(condition: Callable[[], bool]) -> float:
    started = time.monotonic()
    wait_until(condition, 15, "the address has moved")
    return time.monotonic() - started


def test_address_moves_by_gratuitous_arp(
    pair: dict[str, subprocess.Popen[bytes]],
) -> None:
    wait_until(lambda: asked() == "lb-1", 15, "lb-1 has the address")
    pair["lb-1"].terminate()
    assert seconds_until(lambda: asked() == "lb-2") < 5
    assert (
        run(*within(OUTSIDE, "ip", "neighbour", "show", ADDRESS)).count("lladdr") == 1
    )
