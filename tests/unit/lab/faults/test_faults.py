"""What the lab's faults are as rules and as words."""

import pytest

from lab.aws.faults import CloudFault
from lab.errors import LabError
from lab.faults import aws as aws_faults
from lab.faults.rules import (
    End,
    LinkFault,
    delays,
    joined,
    parse,
    render_queues,
    render_rules,
)

ENDS = {
    "lb-1": End("lb-1"),
    "lb-2": End("lb-2"),
    "aws": End("aws", "192.0.2.10"),
    "imds": End("aws", "169.254.169.254"),
    "everything": End(),
}

CUT = LinkFault("cut", "lb-1", "lb-2")


def rules(*faults: LinkFault) -> list[str]:
    """The rules without their comments."""
    lines = render_rules(faults, ENDS).splitlines()
    return [line.split(" comment ")[0].strip() for line in lines if "comment" in line]


def test_cut_loses_packets_in_both_directions_by_interface() -> None:
    assert rules(CUT) == [
        'iifname "lb-1" oifname "lb-2" drop',
        'iifname "lb-2" oifname "lb-1" drop',
    ]


def test_one_way_cut_of_vrrp_loses_only_those_packets() -> None:
    fault = LinkFault("cut", "lb-1", "lb-2", one_way=True, only="vrrp")
    assert rules(fault) == ['iifname "lb-1" oifname "lb-2" ip protocol 112 drop']


def test_aws_and_its_metadata_service_are_told_apart_by_address() -> None:
    assert rules(LinkFault("cut", "lb-1", "imds")) == [
        'iifname "lb-1" oifname "aws" ip daddr 169.254.169.254 drop',
        'iifname "aws" ip saddr 169.254.169.254 oifname "lb-1" drop',
    ]


def test_everything_is_any_interface() -> None:
    assert rules(LinkFault("cut", "everything", "aws", one_way=True)) == [
        'oifname "aws" ip daddr 192.0.2.10 drop'
    ]


def test_drop_loses_a_share_of_the_packets() -> None:
    fault = LinkFault("drop", "lb-1", "lb-2", 12.5, one_way=True)
    assert rules(fault) == [
        'iifname "lb-1" oifname "lb-2" numgen random mod 10000 < 1250 drop'
    ]


def test_drop_of_all_is_a_cut() -> None:
    fault = LinkFault("drop", "lb-1", "lb-2", 100, one_way=True)
    assert rules(fault) == ['iifname "lb-1" oifname "lb-2" drop']


def test_delay_sends_packets_to_the_queue_with_its_number() -> None:
    fault = LinkFault("delay", "lb-1", "aws", 80)
    assert render_queues([fault, CUT], ENDS).splitlines()[2:] == [
        "-A FORWARD -i lb-1 -o aws -d 192.0.2.10 -j NFQUEUE --queue-num 80 "
        "--queue-bypass",
        "-A FORWARD -i aws -s 192.0.2.10 -o lb-1 -j NFQUEUE --queue-num 80 "
        "--queue-bypass",
        "COMMIT",
    ]
    assert delays([fault, CUT]) == {80}


def test_without_faults_there_is_no_table() -> None:
    assert render_rules([], ENDS).splitlines() == [
        "table ip faults",
        "delete table ip faults",
        "table ip mangle",
        "delete table ip mangle",
    ]


@pytest.mark.parametrize(
    "fault",
    [
        CUT,
        LinkFault("cut", "lb-1", "aws", one_way=True, only="vrrp"),
        LinkFault("drop", "lb-1", "aws", 0.5, one_way=True),
        LinkFault("delay", "lb-1", "aws", 60_000),
        LinkFault("silent", "lb-1", "everything"),
    ],
)
def test_fault_can_be_read_back_from_its_words(fault: LinkFault) -> None:
    assert parse(fault.words) == fault


def test_another_amount_takes_the_place_of_the_one_before() -> None:
    first, second = (LinkFault("delay", "lb-1", "lb-2", ms) for ms in (10, 20))
    assert joined([first, CUT], second) == (CUT, second)


@pytest.mark.parametrize(
    ("kind", "a", "b", "amount"),
    [
        ("cut", "lb-1", "lb-1", 0),
        ("drop", "lb-1", "lb-2", 0),
        ("drop", "lb-1", "lb-2", 100.5),
        ("delay", "lb-1", "lb-2", -1),
        ("delay", "lb-1", "lb-2", 1.5),
        ("delay", "lb-1", "lb-2", 60_001),
        ("delay", "lb-1", "lb-2", float("nan")),
    ],
)
def test_fault_that_cannot_be_is_refused(
    kind: str, a: str, b: str, amount: float
) -> None:
    with pytest.raises(LabError):
        LinkFault(kind, a, b, amount)


def test_unknown_end_is_refused_with_those_there_are() -> None:
    with pytest.raises(LabError, match=r"no 'lb-3'; it has .*lb-1, lb-2"):
        render_rules([LinkFault("cut", "lb-1", "lb-3")], ENDS)


def test_ends_without_a_link_between_them_are_refused() -> None:
    with pytest.raises(LabError, match="between aws and imds"):
        render_rules([LinkFault("cut", "aws", "imds")], ENDS)


def test_action_that_no_service_has_is_refused() -> None:
    aws_faults.check(CloudFault("deny", actions=("GetSecretValue", "DescribeRegions")))
    with pytest.raises(LabError, match="no action DescribeRegion in"):
        aws_faults.check(CloudFault("deny", actions=("DescribeRegion",)))
