"""Network interfaces of nodes that lose their address or get another name."""

from tests.lab.system import System, wait_until

AWAY = """
dev=$(ip -o -4 address show to {address}/32 | sed -n 's/^[0-9]*: *\\([^ ]*\\) .*/\\1/p')
net=$(ip -o -4 address show dev $dev | sed -n 's/.* inet \\([^ ]*\\) .*/\\1/p')
ip route show dev $dev >/tmp/routes
"""
RESTORE = """
ip address show dev $dev | grep -q " $net " || ip address add $net dev $dev
for again in 1 2; do  # some routes need others
    while read route; do ip route replace $route dev $dev; done </tmp/routes 2>/dev/null
done
"""


def without_address(system: System, node: str, seconds: float) -> None:
    """Take a node's own address away from its interface for a while."""
    address = system.nodes()[node]["address"]
    gone = f"ip address del $net dev $dev; sleep {seconds}\n"
    system.node(node, AWAY.format(address=address) + gone + RESTORE)


def renamed_interface(system: System) -> None:
    """keepalived starts although its interface has another name now."""
    address = system.nodes()["lb-2"]["address"]
    rename = (
        "ip link set $dev down; ip link set $dev name {0}; dev={0}; ip link set {0} up"
    )
    started = "systemctl start keepalived; cat /run/portway/keepalived-interface.conf"
    for name in ("ens9", "eth0"):
        script = f"systemctl stop keepalived; {AWAY.format(address=address)}"
        script += rename.format(name) + RESTORE + started
        assert system.node("lb-2", script).stdout.split() == ["interface", name]
        wait_until(
            lambda: "BACKUP" in system.execute("lb-2", "portway-address", "status"),
            10,
            "keepalived runs",
        )
    system.deploy()
