"""Load balancers come back: groups launch them, and a run makes the pair whole."""

import time

import pytest

from lab.plan.names import Lab
from lab.traffic.load import Load, missing
from tests.lab.deploys.membership import lose
from tests.lab.system import System, changes, moves, output, wait_until

PORTS = (9001, 9002, 9003)


def test_terminated_holder_comes_back_and_the_address_stays_where_it_went(
    site: System,
) -> None:
    """Each in turn, so that in the end the lab is as it was."""
    for lost, other in (("lb-1", "lb-2"), ("lb-2", "lb-1")):
        assert site.holder == lost
        before = site.nodes()
        with Load.start(Lab(site.name), site.address, PORTS, 6) as load:
            load.wait_until_served()
            lose(site, lost)
            wait_until(lambda: site.holder in ("lb-1", "lb-2"), 20, "a holder")
            load.wait_until_served(time.time())

            moved = time.time()
            first = site.deploy()
            load.wait_until_served(time.time())
            second = site.deploy()
            report = load.stop()

        after = site.nodes()
        assert after.keys() == before.keys()
        assert after[lost]["instance_id"] != before[lost]["instance_id"]
        assert after[other] == before[other] | {"holds_address": True}
        assert changes(first) > 0
        assert changes(second) == 0, output(second)
        assert moves(site, moved) == []
        assert site.masters() == [site.holder] == [other]
        assert missing(Lab(site.name), report) == set()


@pytest.mark.long
def test_stack_of_instances_gets_groups_for_one_fail_over(site: System) -> None:
    """As ``docs/upgrading.md`` says; in the end the lab is as it was."""
    site.up("--load-balancers-as", "instances")
    site.deploy(what="site")
    assert site.holder == "lb-1"
    ids = [{n: site.nodes()[n]["instance_id"] for n in ("lb-1", "lb-2")}]
    began = time.time()

    with Load.start(Lab(site.name), site.address, PORTS, 6) as load:
        load.wait_until_served()
        for step, holder in (("instance-and-group", "lb-1"), ("groups", "lb-2")):
            site.deploy("-y", "--data", f"transfer_to={holder}", what="transfer")
            site.up("--load-balancers-as", step)
            ids.append({n: site.nodes()[n]["instance_id"] for n in ("lb-1", "lb-2")})
            site.deploy()
            assert site.masters() == [site.holder] == [holder]
        again = site.deploy()
        load.wait_until_served(time.time())
        report = load.stop()

    first, second, third = ids
    assert second == first | {"lb-2": second["lb-2"]} != first
    assert third == second | {"lb-1": third["lb-1"]} != second
    assert changes(again) == 0, output(again)
    assert len(moves(site, began)) == 1
    assert missing(Lab(site.name), report) == set()

    lose(site, "lb-2")
    site.deploy()
    assert site.masters() == [site.holder] == ["lb-1"]
