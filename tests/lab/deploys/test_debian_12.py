"""The main job on Debian 12: older HAProxy, keepalived and systemd."""

from collections import deque

import pytest

from tests.lab.deploys.interfaces import renamed_interface, without_address
from tests.lab.deploys.test_failover import failover
from tests.lab.deploys.test_node_changes import (
    changes_without_reloads,
    reload_keeps_drains,
)
from tests.lab.deploys.test_package_upgrades import check_upgrade_under_load
from tests.lab.system import System, changes, output, stream, wait_until


def test_main_job_on_debian_12(site_12: System) -> None:
    version = site_12.node("lb-1", "haproxy -v").stdout
    assert version.startswith("HAProxy version 2.6.")
    for port in (9001, 9002, 9003):
        assert site_12.ask(port).split(" ")[1] == str(port)
    assert site_12.ask(9004, mode="http").endswith(" 9004")
    assert site_12.masters() == [site_12.holder]

    second = site_12.deploy(what="site")
    assert changes(second) == 0, output(second)

    with stream(site_12, 9001) as last:
        site_12.deploy("-y", "--data", "threads=1")
        before = last()
        while last() < before + 20:
            pass


@pytest.mark.alone
def test_fail_over_and_a_stall_on_debian_12(site_12: System) -> None:
    scenarios = ("haproxy-stopped", "host-stalled-briefly", "host-stalled")
    result = failover(site_12, *scenarios)
    assert result.returncode == 0, output(result)
    renamed_interface(site_12)
    without_address(site_12, "lb-1", 10)
    wait_until(lambda: site_12.masters() == ["lb-1"], 20, "lb-1 is master again")


def test_upgraded_packages_cut_no_stream_and_move_nothing_on_debian_12(
    site_12: System,
) -> None:
    check_upgrade_under_load(site_12)


def test_nodes_change_without_a_reload_on_debian_12(site_12: System) -> None:
    changes_without_reloads(site_12)
    reload_keeps_drains(site_12)


def test_ordered_stream_of_an_older_worker_leaves_a_drained_node_on_debian_12(
    site_12: System,
) -> None:
    lb = site_12.holder
    socket = "socat - UNIX-CONNECT:/run/haproxy/admin.sock"
    drain = f"echo 'set server tcp_ordered/app-1 state drain' | {socket}"
    with stream(site_12, 9003) as last:
        last()
        site_12.reload_haproxy(lb)
        assert site_12.ask(9003).startswith("app-1 ")
        site_12.node(lb, drain)
        with pytest.raises(AssertionError, match="the stream ended"):
            deque(iter(last, -1), maxlen=0)  # on and on
        assert site_12.ask(9003).startswith("app-2 ")
    site_12.deploy(what="app")
    wait_until(lambda: site_12.ask(9003).startswith("app-1 "), 15, "it is back")
