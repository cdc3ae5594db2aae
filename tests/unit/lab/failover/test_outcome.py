"""What is made of a scenario's calls and acknowledgements, and the verdict."""

from dataclasses import dataclass, field, replace

import pytest

from lab.aws.address import ELASTIC_IP, PRIVATE, ROUTE, Address
from lab.failover.outcome import (
    BEFORE,
    BIN,
    Expected,
    Move,
    Moves,
    Outcome,
    Times,
    from_dict,
    moves,
    problems,
    served,
    to_dict,
    worst,
)
from lab.plan.records import Host
from lab.traffic.acknowledgements import ClientReport, Report


def host(number: int) -> Host:
    return Host(
        node=f"lb-{number}",
        role="load-balancer",
        instance_id=f"i-{number}",
        interface_id=f"eni-{number}",
        mac="",
        address=f"10.60.0.{number}",
        prefix=24,
        gateway="",
        image="",
    )


NODES = {"lb-1": host(1), "lb-2": host(2)}
ELASTIC = Address(ELASTIC_IP, "203.0.113.1", ("eipalloc-1",), "eni-1")


@dataclass(frozen=True)
class Call:
    at: float
    action: str = "AssociateAddress"
    status: int = 200
    parameters: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.25
    source: str = "10.60.0.2"


def call(at: float, to: str, **more: object) -> Call:
    return replace(Call(at, parameters={"InstanceId": to}), **more)  # type: ignore[arg-type]


GOOD = Outcome(
    "a name",
    "what happens",
    "elastic-ip",
    5.0,
    None,
    Times(100, 109, 110, 115.5),
    outages=[0.5, 0.8, 1.2],
    acknowledged=10,
    moves=[Move(102, "lb-2", 0.5), Move(112, "lb-1", 0.5)],
    detection=1.5,
    restored=4.0,
    served=[1.0, 0.5, 0.0],
    masters=[(100.0, "lb-1"), (102.0, "lb-2")],
)


def test_move_is_counted_with_the_time_aws_took() -> None:
    found, first = moves([call(10, "i-2")], ELASTIC, NODES)
    assert found == [Move(10.25, "lb-2", 0.25)]
    assert first == 10


def test_refused_calls_before_a_move_count_as_its_time() -> None:
    calls = [call(10, "i-2", status=503), call(12, "i-2")]
    found, first = moves(calls, ELASTIC, NODES)
    assert found == [Move(12.25, "lb-2", 2.25)]
    assert first == 10


def test_calls_are_taken_in_the_order_in_which_they_came() -> None:
    found, _ = moves([call(20, "i-1"), call(10, "i-2")], ELASTIC, NODES)
    assert [move.to for move in found] == ["lb-2", "lb-1"]


@pytest.mark.parametrize(
    "other",
    [
        Call(10, "DescribeAddresses"),
        Call(10, "ReplaceRoute"),
        Call(10, parameters={"InstanceId": "i-2", "DryRun": "true"}, status=412),
        call(10, "i-2", status=403),
    ],
)
def test_other_calls_are_no_moves(other: Call) -> None:
    assert moves([other], ELASTIC, NODES)[0] == []


def test_routes_of_two_tables_are_one_move() -> None:
    parameters = {"NetworkInterfaceId": "eni-2"}
    calls = [Call(at, "ReplaceRoute", parameters=parameters) for at in (10, 11)]
    found, _ = moves(calls, replace(ELASTIC, kind=ROUTE), NODES)
    assert [move.to for move in found] == ["lb-2"]


def test_trial_with_another_address_is_no_move() -> None:
    private = replace(ELASTIC, kind=PRIVATE, address="10.60.0.14")
    calls = [
        Call(
            at,
            "AssignPrivateIpAddresses",
            status,
            {"NetworkInterfaceId": "eni-2", "PrivateIpAddress.1": address},
        )
        for at, status, address in ((10, 400, "192.0.2.1"), (12, 200, private.address))
    ]
    found, first = moves(calls, private, NODES)
    assert found == [Move(12.25, "lb-2", 0.25)]
    assert first == 12


def test_move_by_hand_is_a_move_but_no_load_balancers_detection() -> None:
    calls = [call(10, "i-2", source="198.51.100.9"), call(13, "i-1", status=503)]
    found, first = moves([*calls, call(14, "i-1")], ELASTIC, NODES)
    assert found == [
        Move(10.25, "lb-2", 0.25, by_hand=True),
        Move(14.25, "lb-1", 1.25),
    ]
    assert first == 13
    assert replace(GOOD, moves=found).api == 1.25


def test_share_of_clients_that_are_served_is_known_for_every_moment() -> None:
    steady = [n / 10 for n in range(200)]
    broken = [t for t in steady if not 6 < t < 9]
    report = Report([ClientReport(steady), ClientReport(broken)], 0.0, 20.0)
    shares = served(report, injected=6.0)
    assert len(shares) == (20 - 6 + BEFORE) / BIN
    at = round((7.5 - 6 + BEFORE) / BIN)
    assert shares[at] == 0.5
    assert shares[0] == shares[-1] == 1


def test_what_is_as_expected_has_no_problems() -> None:
    assert problems(GOOD, Expected(restored=5)) == []


@pytest.mark.parametrize(
    ("change", "expected", "said"),
    [
        ({"outages": [1, 5.2]}, Expected(), "waited 5.20 s, longer than 1.5"),
        ({"lost": 2}, Expected(), "2 acknowledged messages are not in the database"),
        ({"acknowledged": 0}, Expected(), "no message was acknowledged"),
        ({"moves": []}, Expected(), "moved nowhere; expected: away and back"),
        ({}, Expected(moves=Moves.NONE), "moved lb-2 → lb-1; expected: none"),
        ({}, Expected(moves=Moves.AWAY), "expected: away"),
        ({}, Expected(restored=3), "served again only 4.0 s after"),
        ({"restored": None}, Expected(restored=3), "not every client was served"),
        ({"again": 6.0}, Expected(restored=5), "waited 6.00 s once all were served"),
    ],
)
def test_what_is_worse_than_expected_is_told(
    change: dict[str, object], expected: Expected, said: str
) -> None:
    (told,) = problems(replace(GOOD, **change), expected)  # type: ignore[arg-type]
    assert said in told


def test_outage_without_a_bound_is_no_problem() -> None:
    assert problems(replace(GOOD, outages=[60.0]), Expected(outage=None)) == []


def test_figures_of_an_outcome() -> None:
    assert (GOOD.longest, GOOD.api, GOOD.recovery) == (1.2, 0.5, 5.5)
    assert GOOD.over_runs == (1.2, 1.2, 1.2)
    assert replace(GOOD, times=Times(1, 2, 3)).recovery is None


def test_worst_run_stands_for_all_with_every_problem() -> None:
    slow = replace(GOOD, outages=[7.0], problems=["too long"])
    quick = replace(GOOD, outages=[1.0])
    found = worst([GOOD, slow, quick])
    assert found.over_runs == (1, 1.2, 7)
    assert found.problems == ["too long"]
    assert found.outages == [7.0]


def test_outcome_is_the_same_after_it_was_kept() -> None:
    assert from_dict(to_dict(GOOD)) == GOOD
