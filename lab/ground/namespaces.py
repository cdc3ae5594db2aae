"""Network namespaces: made, wired together, entered and removed.

It knows links and addresses, and nothing of what AWS says about them.
"""

import ctypes
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.ground import shell
from lab.plan.names import ROUTER, Lab

NAMESPACES = Path("/run/netns")

_CLONE_NEWNET = 0x40000000

_ROUTER_SETTINGS = {
    "net.ipv4.ip_forward": "1",
    # Hosts must not learn of a way around the router.
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.conf.all.rp_filter": "0",
}


def exists(lab: Lab, thing: str) -> bool:
    """Whether a namespace of the lab is there."""
    return lab.namespace_path(thing).exists()


def listed(lab: Lab) -> tuple[str, ...]:
    """The things of a lab that have a namespace."""
    if not NAMESPACES.is_dir():
        return ()
    prefix = lab.namespace("")
    names = (path.name for path in NAMESPACES.iterdir())
    return tuple(sorted(n.removeprefix(prefix) for n in names if n.startswith(prefix)))


def inside(lab: Lab, thing: str) -> list[str]:
    """The beginning of a command line that runs the rest in a namespace."""
    return ["nsenter", f"--net={lab.namespace_path(thing)}"]


def enter(lab: Lab, thing: str) -> None:
    """Move this thread into a namespace of the lab for good."""
    path = lab.namespace_path(thing)
    if not path.exists():
        raise LabError(
            f"lab {lab.name} has no {thing}: bring it up with 'python -m lab up'"
        )
    _set_namespace(path)


@contextmanager
def within(lab: Lab, thing: str) -> Iterator[None]:
    """Let this thread open sockets in a namespace of the lab for a while.

    What it opened stays there; threads started meanwhile stay there too.
    """
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(lab, thing)
        yield
    finally:
        _set_descriptor(here)
        os.close(here)


def _set_namespace(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set_descriptor(descriptor)
    finally:
        os.close(descriptor)


def _set_descriptor(descriptor: int) -> None:
    # os.setns is new in Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise LabError(f"cannot enter a network namespace: {os.strerror(code)}")


def make_router(lab: Lab) -> None:
    """Make the namespace that every other one is connected to.

    Every step is taken each time: whoever took the first may have been killed then.
    """
    _make(lab, ROUTER)
    settings = [f"{key}={value}" for key, value in _ROUTER_SETTINGS.items()]
    shell.output([*inside(lab, ROUTER), "sysctl", "-q", "-w", *settings])


@dataclass(frozen=True, slots=True)
class Link:
    """A machine's only link: to the router."""

    device: str
    """The router's end."""
    address: str
    prefix: int
    gateway: str
    mac: str = ""


def make(lab: Lab, thing: str, link: Link) -> None:
    """A namespace with one link to the router, its ``eth0``.

    If it is there but half made, it is replaced: the default route is the last step.
    """
    if exists(lab, thing):
        if "default" in shell.output(["ip", "-n", lab.namespace(thing), "route"]):
            return
        remove(lab, thing)
    _make(lab, thing)
    router, own = lab.namespace(ROUTER), lab.namespace(thing)
    hardware = f"address {link.mac} " if link.mac else ""
    shell.output(
        ["ip", "-n", own, "-batch", "-"],
        stdin=f"link add eth0 {hardware}type veth "
        f"peer name {link.device} netns {router}\n"
        f"address add {link.address}/{link.prefix} dev eth0\n"
        "link set eth0 up\n",
    )
    settings = (
        # The router answers for every address it knows a way to, at once.
        f"net.ipv4.conf.{link.device}.proxy_arp=1",
        f"net.ipv4.neigh.{link.device}.proxy_delay=0",
        f"net.ipv4.conf.{link.device}.rp_filter=0",
    )
    shell.output([*inside(lab, ROUTER), "sysctl", "-q", "-w", *settings])
    shell.output(
        ["ip", "-n", router, "-batch", "-"],
        stdin=f"address replace {link.gateway}/32 dev lo\nlink set {link.device} up\n",
    )
    shell.output(["ip", "-n", own, "route", "add", "default", "via", link.gateway])


def keep_only(lab: Lab, thing: str, address: str) -> None:
    """Take all addresses from a namespace but its own."""
    name = lab.namespace(thing)
    devices = json.loads(shell.output(["ip", "-n", name, "-j", "address", "show"]))
    lines = [
        f"address delete {item['local']}/{item['prefixlen']} dev {device['ifname']}"
        for device in devices
        for item in device.get("addr_info", ())
        if item["local"] != address and item["scope"] == "global"
    ]
    if lines:
        shell.output(["ip", "-n", name, "-batch", "-"], stdin="\n".join(lines) + "\n")


def _make(lab: Lab, thing: str) -> None:
    name = lab.namespace(thing)
    if not exists(lab, thing):
        shell.output(["ip", "netns", "add", name])
    shell.output(["ip", "-n", name, "link", "set", "lo", "up"])
    settings = [
        "net.ipv6.conf.all.disable_ipv6=1",
        "net.ipv6.conf.default.disable_ipv6=1",
    ]
    if Path("/proc/sys/net/ipv6").is_dir():
        shell.output([*inside(lab, thing), "sysctl", "-q", "-w", *settings])


def remove(lab: Lab, thing: str) -> None:
    """Remove a namespace; its links go with it, at both ends."""
    if not exists(lab, thing):
        return
    # A namespace that a dying process still holds would keep its link alive.
    name = lab.namespace(thing)
    if shell.succeeds(["ip", "-n", name, "link", "show", "eth0"]):
        shell.output(["ip", "-n", name, "link", "delete", "eth0"])
    shell.output(["ip", "netns", "delete", name])
