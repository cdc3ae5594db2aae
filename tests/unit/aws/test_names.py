"""Names of application nodes: what each is called while others come and go."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.aws.instances import alive_instances
from portway.aws.names import (
    SLOT_TAG,
    assign_slots,
    name_nodes,
    name_without_slot,
    possible_names,
)
from portway.model.stack import Node, Role
from tests.unit.aws.test_discovery import instance

Instance = dict[str, Any]


def application(number: int, name: str = "app", slot: str = "") -> Instance:
    """An application node launched as the ``number``-th."""
    made = instance(number, Role.APPLICATION, name)
    if slot:
        made["Tags"].append({"Key": SLOT_TAG, "Value": slot})
    return made


def group(*members: Instance, name: str = "app", **states: str) -> dict[str, Any]:
    """The scaling group of these members; ``states`` by the number of the member."""
    return {
        "AutoScalingGroupName": "group",
        "DesiredCapacity": len(members),
        "MaxSize": 4,
        "Tags": [{"Key": "Name", "Value": name}] if name else [],
        "Instances": [
            {
                "InstanceId": member["InstanceId"],
                "LifecycleState": states.get(f"n{number}", "InService"),
            }
            for number, member in enumerate(members, 1)
        ],
    }


def nodes(instances: list[Instance], of: dict[str, Any]) -> list[Node]:
    alive = alive_instances(instances, of)
    return list(name_nodes("messages", alive, assign_slots(instances, alive, of)))


def names(instances: list[Instance], of: dict[str, Any]) -> dict[int, str]:
    """What each is called, by the number of its launch."""
    return {int(n.instance_id[2:], 16): n.name for n in nodes(instances, of)}


def remembered(instances: list[Instance], of: dict[str, Any]) -> None:
    """Tag the instances as a run does."""
    for node in nodes(instances, of):
        if node.new_slot is not None:
            (found,) = (i for i in instances if i["InstanceId"] == node.instance_id)
            found["Tags"] = [t for t in found["Tags"] if t["Key"] != SLOT_TAG]
            found["Tags"].append({"Key": SLOT_TAG, "Value": str(node.new_slot)})


def test_nodes_of_a_group_are_numbered_in_the_order_of_their_launch() -> None:
    one, two = application(7), application(3)

    assert names([one, two], group(one, two)) == {3: "app-1", 7: "app-2"}
    assert [n.new_slot for n in nodes([one, two], group(one, two))] == [1, 2]


def test_what_aws_remembers_is_not_to_be_written_again() -> None:
    one, two = application(1), application(2)
    remembered([one, two], group(one, two))

    assert [n.new_slot for n in nodes([one, two], group(one, two))] == [None, None]


def test_one_that_replaces_another_gets_its_name_and_no_other_changes() -> None:
    one, two, three = (application(n) for n in (1, 2, 3))
    remembered([one, two, three], group(one, two, three))
    four = application(4)

    assert names([one, three, four], group(one, three, four)) == {
        1: "app-1",
        3: "app-3",
        4: "app-2",
    }


def test_a_node_that_is_alone_has_the_name_that_it_keeps_among_others() -> None:
    one, two = application(1), application(2)

    assert names([one], group(one)) == {1: "app-1"}
    remembered([one], group(one))
    assert names([two, one], group(two, one)) == {1: "app-1", 2: "app-2"}


@pytest.mark.parametrize(
    ("state", "replacement"),
    [("Standby", "app-2"), ("Terminating:Wait", "app-1"), ("Terminating", "app-1")],
)
def test_who_is_in_standby_keeps_its_name_and_who_is_ended_does_not(
    state: str, replacement: str
) -> None:
    one, two = application(1, slot="1"), application(2)

    assert names([one, two], group(one, two, n1=state)) == {2: replacement}


def test_of_two_with_one_slot_the_first_that_was_launched_keeps_it() -> None:
    one, two, three = (application(n, slot="1") for n in (1, 2, 3))

    assert names([three, two, one], group(three, two, one)) == {
        1: "app-1",
        2: "app-2",
        3: "app-3",
    }


def test_a_name_of_its_own_is_used_and_no_slot_makes_the_same() -> None:
    one, two, three = application(1, "orders"), application(2, "APP-1"), application(3)

    found = names([one, two, three], group(one, two, three))

    assert found == {1: "orders", 2: "APP-1", 3: "app-2"}


def test_load_balancers_have_no_slots_and_are_in_nobodys_way() -> None:
    balancer = instance(1, Role.LOAD_BALANCER, "app-1")
    unnamed = instance(2, Role.LOAD_BALANCER, "")
    one = application(3)

    found = names([balancer, unnamed, one], group(one))

    assert found == {1: "app-1", 2: unnamed["InstanceId"], 3: "app-2"}


@pytest.mark.parametrize("name", ["Größe", "my app", "", "x" * 60, "-app"])
def test_a_name_tag_that_is_no_host_name_falls_back(name: str) -> None:
    one = application(1, name)
    balancer = instance(2, Role.LOAD_BALANCER, name)

    found = names([one, balancer], group(one, name=name))

    assert found == {1: "app-1", 2: balancer["InstanceId"]}


@pytest.mark.parametrize("slot", ["0", "-1", "one", "²", "1.5", "01", "20260101"])
def test_a_slot_that_is_no_number_is_replaced(slot: str) -> None:
    one, two = application(1, slot=slot), application(2, slot="1")

    assert names([one, two], group(one, two)) == {1: "app-2", 2: "app-1"}


def test_the_last_of_a_name_tag_that_the_group_no_longer_gives_keeps_its_name() -> None:
    old, new = application(1, "app", slot="1"), application(2, "orders")

    found = names([old, new], group(old, new, name="orders"))

    assert found == {1: "app-1", 2: "orders-2"}


def test_a_name_of_its_own_is_nobody_elses_while_its_node_is_in_standby() -> None:
    one, two = application(1, "app-1"), application(2)

    assert names([one, two], group(one, two, n1="Standby")) == {2: "app-2"}


def test_the_name_of_a_node_in_standby_is_one_of_the_group() -> None:
    two, three, four = (
        application(2, slot="2"),
        application(3, slot="3"),
        application(4),
    )
    of = group(two, three, four, n2="Standby") | {"MaxSize": 2, "DesiredCapacity": 2}
    instances = [two, three, four]

    slots = assign_slots(instances, alive_instances(instances, of), of)

    assert names(instances, of) == {2: "app-2", 4: "app-1"}
    assert possible_names(of, slots) == ("app-1", "app-2", "app-3")


@pytest.mark.parametrize(("tag", "short"), [("app", False), ("x" * 50, True)])
def test_a_name_without_a_slot_is_a_host_name(tag: str, short: bool) -> None:
    id_ = "i-0123456789abcdef0"

    assert name_without_slot(f"{tag}-1", id_) == (id_ if short else f"{tag}-{id_}")


def test_possible_names_are_those_of_the_group() -> None:
    one, two = application(1), application(9, slot="6")
    of = group(one, two)

    found = possible_names(of, assign_slots([one, two], [one, two], of))

    assert found == tuple(f"app-{n}" for n in range(1, 7))
    assert possible_names(group(one), {}) == ("app-1", "app-2", "app-3", "app-4")


changes = st.lists(
    st.tuples(st.sampled_from(["launch", "end", "terminate", "tag"]), st.integers(0)),
    max_size=25,
)


@given(changes)
def test_whatever_comes_and_goes_no_name_of_a_living_node_changes(
    steps: list[tuple[str, int]],
) -> None:
    """Every run sees the instances after some steps, and remembers what it named."""
    living = [application(1), application(2)]
    ending: list[Instance] = []
    number = 2

    def look() -> dict[int, str]:
        everybody = [*living, *ending]
        of = group(
            *everybody,
            **{
                f"n{place}": "Terminating:Wait"
                for place, one in enumerate(everybody, 1)
                if one in ending
            },
        )
        found = names(everybody, of)
        remembered(everybody, of)
        return found

    before = look()
    for what, which in steps:
        if what == "launch":
            number += 1
            living.append(application(number))
        elif what == "end" and len(living) > 1:
            ending.append(living.pop(which % len(living)))
        elif what == "terminate" and ending:
            ending.pop(which % len(ending))
        found = look()
        assert len({name.casefold() for name in found.values()}) == len(living)
        assert {n: before[n] for n in before if n in found}.items() <= found.items()
        assert all(re.fullmatch(r"app-[0-9]+", name) for name in found.values())
        most = max(int(name[4:]) for name in found.values())
        assert most <= max(len(living), *(int(n[4:]) for n in before.values()))
        before = found


@given(
    st.lists(
        st.text(alphabet="aBb-.1ö ", min_size=0, max_size=64), min_size=1, max_size=8
    )
)
def test_nodes_get_distinct_names_that_are_host_names(tags: list[str]) -> None:
    roles = (Role.APPLICATION, Role.LOAD_BALANCER)
    instances = [
        instance(number, roles[number % 2], tag) for number, tag in enumerate(tags, 1)
    ]

    found = names(instances, group(*instances)).values()

    assert len({name.casefold() for name in found}) == len(tags)
    for name in found:
        assert re.fullmatch(r"[A-Za-z0-9.-]{1,63}", name)
