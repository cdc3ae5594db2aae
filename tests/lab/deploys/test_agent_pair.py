"""Load balancers deploy to themselves, from a release: the order of the pair holds.

The hosts have Debian's Python and no package that a release needs.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from portway.contract import paths
from tests.lab.deploys.agents import (
    HAPROXY,
    Agents,
    agents,
    built,
    config,
    original,
)
from tests.lab.system import changes, output, shown, wait_until

__all__ = ["agents", "built", "original"]


def test_release_runs_with_the_hosts_own_python(agents: Agents) -> None:
    system, release = agents.system, agents.release
    have = system.node("lb-1", "python3 -c 'import click'", check=False)
    assert have.returncode, "the host must not have what the release brings"
    check = f"cd {release}/project && ../bin/portway check --json"
    assert json.loads(system.node("lb-1", check).stdout)["problems"] == []


@pytest.mark.parametrize("what", ["standby", "holder"])
def test_drift_is_mended_and_a_second_run_changes_nothing(
    agents: Agents, what: str
) -> None:
    system = agents.system
    node: str = getattr(system, what)
    told = agents.told()[node]
    assert told.startswith("serves ")
    before = config(system, node)

    stop = "; systemctl stop keepalived" if what == "standby" else ""
    system.node(node, f"echo '# by hand' >>{HAPROXY}{stop}")
    mended = agents.run(node)
    assert mended.returncode == 0, shown(mended)
    assert changes(mended) > 0
    assert config(system, node) == before
    assert system.execute(node, "systemctl", "is-active", "keepalived") == "active\n"

    again = agents.run(node)
    assert again.returncode == 0, shown(again)
    assert changes(again) == 0, output(again)
    assert agents.told()[node] == told
    assert getattr(system, what) == node


def test_holder_of_the_address_is_changed_once_its_standby_serves(
    agents: Agents,
) -> None:
    system, change = agents.system, ("--data", "idle_timeout=7000")
    holder, standby = system.holder, system.standby
    before = config(system, holder)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(agents.run, holder, *change)
        look = f"test -s {paths.WAITS}"
        wait_until(lambda: not system.node(holder, look, False).returncode, 30, "it")
        assert not waiting.done(), shown(waiting.result())
        assert config(system, holder) == before

        first = agents.run(standby, *change)
        assert first.returncode == 0, shown(first)
        assert "7000s" in config(system, standby)
        second = waiting.result(timeout=60)
    assert second.returncode == 0, shown(second)
    assert f"waiting until {standby} serves with the same" in output(second)
    assert "7000s" in config(system, holder)
    told = agents.told()
    assert told[holder] == told[standby]


def test_holder_stays_as_it_is_while_its_standby_does_not_serve(
    agents: Agents,
) -> None:
    """Also once nothing differs on the standby any more."""
    system = agents.system
    holder, standby = system.holder, system.standby
    change = ("--data", "health_path=/nowhere", "--data", "verify_timeout=5")
    before = config(system, holder)
    for _ in range(2):
        failed = agents.run(standby, *change)
        assert failed.returncode == 1, shown(failed)
        assert "backends without a healthy server" in output(failed)
        assert agents.told()[standby].startswith("begun ")
    assert "/nowhere" in config(system, standby)

    refused = agents.run(holder, *change, "--data", "pair_timeout=0")
    assert refused.returncode == 1, shown(refused)
    why = f"{standby}, its standby, has begun with this configuration and does not"
    assert why in output(refused), shown(refused)
    assert config(system, holder) == before

    for node in (standby, holder):
        done = agents.run(node)
        assert done.returncode == 0, shown(done)
        assert agents.told()[node].startswith("serves ")


def test_holder_without_a_word_of_its_standby_is_mended_and_not_changed(
    agents: Agents,
) -> None:
    system, patience = agents.system, ("--data", "pair_timeout=3")
    holder, standby = system.holder, system.standby
    agents.run_all((holder, standby))  # whatever the test before this one deployed
    agents.forget(standby)
    before = config(system, holder)
    change = (*patience, "--data", "idle_timeout=5000")
    for why in ("does not serve with this configuration yet", "has said nothing of"):
        refused = agents.run(holder, *change)
        assert refused.returncode == 1, shown(refused)
        assert f"{standby}, its standby, {why}" in output(refused)
        assert config(system, holder) == before

    system.node(holder, f"echo '# by hand' >>{HAPROXY}")
    early = agents.run(holder, *patience)
    assert early.returncode == 1, shown(early)
    late = agents.run(holder, *patience)
    assert late.returncode == 0, shown(late)
    assert f"is mended though {standby}, its standby, has said nothing" in output(late)
    assert config(system, holder) == before

    # What it served with before needs nobody's trial.
    for data, seconds in ((change, "5000s"), (patience, "86400s")):
        restored = agents.restore(holder, *data)
        assert restored.returncode == 0, shown(restored)
        assert seconds in config(system, holder)
    assert config(system, holder) == before


def test_keepalived_of_a_standby_starts_once_the_holder_knows_the_node(
    agents: Agents,
) -> None:
    system, patience = agents.system, ("--data", "pair_timeout=2")
    holder, standby = system.holder, system.standby
    agents.forget(holder)
    system.node(standby, "systemctl stop keepalived")

    refused = agents.run(standby, *patience)
    assert refused.returncode == 1, shown(refused)
    assert f"{holder}, which goes first here, has not said" in output(refused)
    state = system.node(standby, "systemctl is-active keepalived", check=False)
    assert state.stdout == "inactive\n"
    assert system.masters() == [holder]

    for node in (holder, standby):
        done = agents.run(node, *patience)
        assert done.returncode == 0, shown(done)
    assert system.execute(standby, "systemctl", "is-active", "keepalived") == "active\n"
    assert system.masters() == [system.holder] == [holder]


@pytest.mark.parametrize("what", ["standby", "holder"])
def test_what_both_must_have_at_once_is_left_to_a_run_for_both(
    agents: Agents, what: str
) -> None:
    system = agents.system
    node: str = getattr(system, what)
    before = system.execute(node, "cat", str(paths.KEEPALIVED_CONFIG))
    refused = agents.run(node, "--data", "virtual_router_id=77")
    assert refused.returncode == 1, shown(refused)
    assert "virtual_router_id changes" in output(refused), shown(refused)
    assert system.execute(node, "cat", str(paths.KEEPALIVED_CONFIG)) == before
