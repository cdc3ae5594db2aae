"""What HAProxy says of its servers, read from what it really printed."""

from portway.application.draining import is_drained, serves
from portway.application.facts import ApplicationFacts, ApplicationHealth
from portway.load_balancers.haproxy import Balancing, BalancingFacts
from portway.model.stack import Role
from tests.unit.samples import node

SAID = """\
runs
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
3 b 1 app-1 10.60.0.15 2 8 1 1 0 6 3 2 6 0 0 0 - 17011 - 0 0 - - 0
3 b 2 app-2 10.60.0.16 2 0 1 1 2 6 3 2 6 0 0 0 - 17012 - 0 0 - - 0
3 b 3 app-3 10.60.0.17 0 0 1 1 2 6 3 2 6 0 0 0 - 17012 - 0 0 - - 0
3 b 4 app-4 10.60.0.18 0 1 1 1 2 6 3 2 6 0 0 0 - 17012 - 0 0 - - 0

# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,w
b,app-1,0,0,7,7,,8,0,0,,0,,0,0,0,0,DRAIN,1,1,0,1,1,5,5,,1,4,1,,0,,2,0,,0,L7OK,200,8\
,,,,,,,,,,,0,0,,,,,-1,OK,,0,0,0,0,,,,Layer7 check passed,,2,3,0
b,app-2,0,0,0,7,,8,0,0,,0,,0,0,0,0,UP,1,1,0,1,1,5,5,,1,4,1,,0,,2,0,,0,L7OK,200,8\
,,,,,,,,,,,0,0,,,,,-1,OK,,0,0,0,0,,,,Layer7 check passed,,2,3,0
b,app-3,0,0,0,7,,8,0,0,,0,,0,0,0,0,DOWN,1,1,0,1,1,5,5,,1,4,1,,0,,2,0,,0,* L7STS,426,8\
,,,,,,,,,,,0,0,,,,,-1,"Upgrade, please",,0,0,0,0,,,,Layer7 wrong status,,2,3,0
b,app-4,0,0,0,7,,8,0,0,,0,,0,0,0,0,MAINT,1,1,0,1,1,5,5,,1,4,1,,0,,2,0,,0,L4CON,,8\
,,,,,,,,,,,0,0,,,,,-1,Connection refused,,0,0,0,0,,,,Layer4 connection problem,,2,3,0
"""


def balancing() -> Balancing:
    return BalancingFacts().process(SAID.splitlines())


def test_servers_are_told_apart_by_state() -> None:
    states = {
        s.path: (s.is_up, s.is_drained, s.serves, s.sessions)
        for s in balancing().servers
    }
    assert states == {
        "b/app-1": (True, True, False, 7),
        "b/app-2": (True, False, True, 0),
        "b/app-3": (False, False, False, 0),
        "b/app-4": (False, True, False, 0),
    }


def test_reason_of_a_server_is_what_haproxy_s_check_found() -> None:
    assert {s.name: s.reason for s in balancing().servers} == {
        "app-1": "L7OK/200 (OK)",
        "app-2": "L7OK/200 (OK)",
        "app-3": "L7STS/426 (Upgrade, please)",
        "app-4": "L4CON (Connection refused)",
    }


def test_haproxy_that_does_not_run_or_answer_is_told_from_one_without_servers() -> None:
    assert BalancingFacts.default() == Balancing(runs=False, answers=False)
    assert BalancingFacts().process(["runs"]) == Balancing(runs=True, answers=False)
    empty = BalancingFacts().process(["runs", "1", "# be_id be_name", ""])
    assert empty == Balancing(runs=True, answers=True)


def test_node_with_streams_left_still_serves_though_drained() -> None:
    found = {"lb-1": balancing(), "lb-2": Balancing()}
    drained = node("app-1", Role.APPLICATION, 11, address="10.60.0.15")
    assert is_drained(found, drained)
    assert serves(found, drained)
    assert not serves(found, node("app-3", Role.APPLICATION, 13, address="10.60.0.17"))
    assert not serves(found, node("new", Role.APPLICATION, 14, address="10.60.0.99"))


def test_releases_come_in_the_order_of_their_installation() -> None:
    application = ApplicationFacts().process(
        [
            "link\tcurrent\t2.0.0",
            "release\t10.0.0\taaa\t1700000003.5",
            "release\t2.0.0\tbbb\t1700000002.25",
            "leftover",
        ]
    )
    found = application.releases
    assert list(found.sums) == ["2.0.0", "10.0.0"]
    assert (found.current, found.previous, found.leftovers) == ("2.0.0", None, True)


def test_health_is_well_only_if_all_was_asked() -> None:
    health = ApplicationHealth()
    assert health.process(["asked"]) == ()
    assert health.process(["it is not running"]) == ("it is not running",)
    assert health.default() != ()
