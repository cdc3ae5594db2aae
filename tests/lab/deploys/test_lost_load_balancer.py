"""A load balancer's instance is terminated: its group launches another, and a run."""

import time

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
