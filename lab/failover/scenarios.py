"""Every scenario, in the order in which they are run."""

import ipaddress
from collections.abc import Callable

from lab.failover import deploys
from lab.failover.outcome import Expected, Moves
from lab.failover.pair import MOVES
from lab.failover.scenario import Act, Scenario
from lab.failover.world import World
from lab.faults import interface as faults

HAPROXY, KEEPALIVED, MOVER = "haproxy", "keepalived", "portway-address"
APPLICATION = "message-app"

OUTAGE_OF_AWS = 8.0
"""Seconds for which AWS cannot be used during a fail-over."""
RESTORED = 10.0
"""Seconds from the end of a cause that takes the service away until it is back."""

AWAY_AND_BACK = Expected()
AT_ONCE = Expected(outage=1.0)
UNMOVED = Expected(moves=Moves.NONE)
LASTING = Expected(outage=None, restored=RESTORED)


def _on_master(fault: Callable[..., None], *more: str) -> Act:
    """A fault of ``lab.faults.interface`` on the master."""
    return lambda world: fault(world.lab, world.master, *more)


def _stalled(seconds: float) -> Act:
    """A master that stops where it is, and soon runs on."""

    def inject(world: World) -> None:
        faults.stall(world.lab, world.master, seconds)

    return inject


def _with_haproxy_stopped(fault: Act) -> Act:
    """A fault, and then a fail-over that has to cope with it."""

    def inject(world: World) -> None:
        fault(world)
        faults.stop(world.lab, world.master, HAPROXY)

    return inject


def _aws_back(world: World) -> None:
    faults.heal_links(world.lab)
    faults.heal_aws(world.lab)


def _deny_the_backup(world: World) -> None:
    actions = MOVES[world.kind]
    faults.aws(world.lab, "deny", actions=actions, source=world.backup)


def _give_to_the_backup(world: World) -> None:
    world.pair.give_to(world.backup)


def _cut_vrrp(a: str, b: str, *, one_way: bool) -> Act:
    """Cut VRRP between two of ``master`` and ``backup``."""

    def inject(world: World) -> None:
        ends = getattr(world, a), getattr(world, b)
        faults.cut(world.lab, *ends, one_way=one_way, only="vrrp")

    return inject


def _stop_both(world: World) -> None:
    for node in (world.master, world.backup):
        faults.stop(world.lab, node, HAPROXY)


def _flap(world: World) -> None:
    for _ in range(3):
        faults.stop(world.lab, world.master, HAPROXY)
        world.until_held_by(world.backup)
        world.hold(10)
        faults.start(world.lab, world.master, HAPROXY)
        world.until_held_by(world.master)
        world.hold(10)


def _reboot_both(world: World) -> None:
    world.reboot(world.master, world.backup)
    world.until_rebooted()


def _applications(fault: Callable[..., None], *more: str) -> Act:
    def act(world: World) -> None:
        for host in world.applications:
            fault(world.lab, host.node, *more)

    return act


def _lose_zone(world: World) -> None:
    """The master, and the application nodes in its subnet: each zone has one."""
    master = world.pair.hosts[world.master]
    network = f"{master.address}/{master.prefix}"
    zone = ipaddress.ip_network(network, strict=False)
    lost = [h for h in world.applications if ipaddress.ip_address(h.address) in zone]
    for host in (master, *lost):
        faults.power_off(world.lab, host.node)


SCENARIOS = (
    Scenario(
        "HAProxy killed",
        "every process of HAProxy on the master is killed; systemd starts it again",
        _on_master(faults.kill, HAPROXY),
        Expected(moves=Moves.ANY),
    ),
    Scenario(
        "HAProxy stopped",
        "somebody stops HAProxy on the master",
        _on_master(faults.stop, HAPROXY),
        every_kind=True,
    ),
    Scenario(
        "HAProxy hung",
        "HAProxy's processes on the master stop where they are",
        _on_master(faults.hang, HAPROXY),
    ),
    Scenario(
        "keepalived killed",
        "every process of keepalived on the master is killed; systemd starts it again",
        _on_master(faults.kill, KEEPALIVED),
        Expected(outage=1.0, moves=Moves.ANY),
    ),
    Scenario(
        "keepalived stopped",
        "somebody stops keepalived on the master",
        _on_master(faults.stop, KEEPALIVED),
        AT_ONCE,
    ),
    Scenario(
        "mover killed",
        "the address mover on the master is killed; systemd starts it again",
        _on_master(faults.kill, MOVER),
        UNMOVED,
    ),
    Scenario(
        "host frozen",
        "the master stops where it is, and later runs on as if nothing had been",
        _on_master(faults.freeze),
        every_kind=True,
    ),
    Scenario(
        "host stalled briefly",
        "the master stops where it is for 0.6 s",
        _stalled(0.6),
        UNMOVED,
        hold=3,
    ),
    Scenario(
        "host stalled",
        "the master stops where it is for 2 s; the address stays where it then is",
        _stalled(2.0),
        hold=0,
    ),
    Scenario(
        "host powered off",
        "the master loses its power, and later boots",
        _on_master(faults.power_off),
        every_kind=True,
    ),
    Scenario(
        "host rebooted",
        "somebody reboots the master",
        lambda world: world.reboot(world.master),
        hold=0,
        heal=World.until_rebooted,
    ),
    Scenario(
        "network of the master cut",
        "nothing reaches the master and it reaches nothing, AWS included",
        lambda world: faults.cut(world.lab, world.master, "everything"),
    ),
    Scenario(
        "split brain",
        "the load balancers do not hear each other's VRRP; all else works",
        _cut_vrrp("master", "backup", one_way=False),
        Expected(moves=Moves.ANY),
        hold=10,
        every_kind=True,
    ),
    Scenario(
        "backup deaf to VRRP",
        "the backup does not hear the master; the master hears the backup",
        _cut_vrrp("master", "backup", one_way=True),
        Expected(moves=Moves.ANY),
        hold=10,
    ),
    Scenario(
        "master deaf to VRRP",
        "the master does not hear the backup; the backup hears the master",
        _cut_vrrp("backup", "master", one_way=True),
        UNMOVED,
        hold=10,
    ),
    Scenario(
        "AWS down",
        "the EC2 API is out of reach during a fail-over, and comes back",
        _with_haproxy_stopped(lambda world: faults.aws(world.lab, "down")),
        LASTING,
        hold=OUTAGE_OF_AWS,
        relieve=_aws_back,
    ),
    Scenario(
        "AWS throttles",
        "the EC2 API refuses every call of a fail-over as too many, and then no more",
        _with_haproxy_stopped(lambda world: faults.aws(world.lab, "throttle")),
        LASTING,
        hold=OUTAGE_OF_AWS,
        relieve=_aws_back,
    ),
    Scenario(
        "permission denied",
        "the backup may not move the address, until somebody permits it",
        _with_haproxy_stopped(_deny_the_backup),
        LASTING,
        hold=OUTAGE_OF_AWS,
        relieve=_aws_back,
    ),
    Scenario(
        "IMDS down",
        "the metadata service fails during a fail-over",
        _with_haproxy_stopped(lambda world: faults.imds(world.lab)),
    ),
    Scenario(
        "address moved by hand",
        "somebody gives the address to the backup in AWS's console",
        _give_to_the_backup,
        # Until the master looks; only an Elastic IP is served at the backup meanwhile.
        Expected(outage=7.0, moves=Moves.ANY),
        every_kind=True,
    ),
    Scenario(
        "both unhealthy",
        "HAProxy is stopped on both load balancers; the backup's is started first",
        _stop_both,
        # Whichever is found dead first, the other one may hold the address meanwhile.
        Expected(outage=None, restored=RESTORED, moves=Moves.ANY),
        hold=8,
        relieve=lambda world: faults.start(world.lab, world.backup, HAPROXY),
    ),
    Scenario(
        "master flaps",
        "HAProxy on the master is stopped and started three times",
        _flap,
        Expected(moves=Moves.ANY),
        hold=0,
    ),
    Scenario(
        "both rebooted",
        "somebody reboots both load balancers together",
        _reboot_both,
        Expected(outage=None, restored=RESTORED, moves=Moves.ANY),
        hold=0,
    ),
    Scenario(
        "planned transfer",
        "the operator transfers the address to the backup, and then back",
        deploys.transfer_away,
        AT_ONCE,
        heal=deploys.transfer_back,
        every_kind=True,
    ),
    Scenario(
        "load balancer replaced",
        "the master's instance is terminated; its group launches another, which is "
        "deployed to",
        deploys.terminate,
        Expected(moves=Moves.AWAY),
        heal=deploys.replace,
    ),
    Scenario(
        "bad configuration pushed",
        "a run with a template that keepalived does not take",
        deploys.push_bad_template,
        Expected(outage=1.0, moves=Moves.NONE),
        hold=2,
        heal=deploys.deploy_again,
    ),
    Scenario(
        "clock stepped",
        "the master's clock goes wrong by an hour",
        lambda world: faults.clock(world.lab, world.master, 3600),
        Expected(outage=1.0, moves=Moves.NONE),
        hold=10,
        prepare=lambda world: faults.prepare_clock(world.lab, world.master),
    ),
    Scenario(
        "application down",
        "the application is stopped on every node, and started again",
        _applications(faults.stop, APPLICATION),
        Expected(outage=None, restored=RESTORED, moves=Moves.NONE),
        hold=10,
        heal=_applications(faults.start, APPLICATION),
    ),
    Scenario(
        "zone lost",
        "the master and the application nodes of its zone lose their power together",
        _lose_zone,
        # HAProxy on the backup has to find the lost application nodes as well: up to
        # health_interval, and checks that nobody answers.
        Expected(outage=5.0),
    ),
)
