"""Names of nodes that hold while others come and go. Pure.

A scaling group gives all its instances the same Name tag. Portway gives each a slot, a
number that no other node has, in the tag ``portway:slot``, and names it by both, such
as ``app-1``. An instance that is launched in place of another gets the slot that is
free, and with it the name.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from portway.aws.instances import (
    ENDING,
    Answer,
    is_application_node,
    launched,
    node_of,
    tags_of,
)
from portway.model.stack import HOST_NAME, Node

SLOT_TAG = "portway:slot"
USUAL_NAME = "app"
"""What nodes are called whose Name tag cannot be part of a host name."""
SLOT = re.compile(r"[1-9][0-9]{0,2}")
LONGEST = 50
"""Characters of a Name tag; a host name has at most 63 with the slot behind it."""


def assign_slots(
    instances: Iterable[Answer], alive: Sequence[Answer], group: Answer
) -> dict[str, int]:
    """The slots of the application nodes that need one, by instance id.

    Those with a Name tag of their own need none. Who has a slot keeps it, in standby
    and stopped as well, until the group ends the instance; of two with the same one,
    who was launched first. The others that live get the lowest that are free, in the
    order of their launch. So everybody who reads the same instances finds the same.
    """
    ending = {
        member["InstanceId"]
        for member in group.get("Instances", [])
        if member["LifecycleState"].startswith(ENDING)
    }
    living = {i["InstanceId"] for i in alive}
    everybody = [i for i in instances if i["InstanceId"] not in ending]
    nodes = sorted(
        filter(is_application_node, everybody),
        key=lambda i: (launched(i), i["InstanceId"]),
    )
    needing = _that_need_one(nodes, _name_tag(group))
    own = {tags_of(i).get("Name", "").casefold() for i in everybody if i not in needing}
    taken: dict[int, str] = {}
    for instance in needing:
        if (slot := slot_of(instance)) is not None:
            taken.setdefault(slot, instance["InstanceId"])
    kept = set(taken.values())
    for instance in needing:
        if instance["InstanceId"] in living - kept:
            slot = 1
            while slot in taken or named(instance, slot).casefold() in own:
                slot += 1
            taken[slot] = instance["InstanceId"]
    return {id_: slot for slot, id_ in sorted(taken.items())}


def _that_need_one(nodes: Sequence[Answer], shared: str) -> list[Answer]:
    """The nodes without a name of their own.

    Those that have a slot are among them: a node that is the last of its Name tag must
    not be called otherwise for that.
    """
    carried = Counter(tags_of(i).get("Name", "").casefold() for i in nodes)
    carried[shared.casefold()] += 2
    return [
        i
        for i in nodes
        if slot_of(i) is not None
        or not HOST_NAME.fullmatch(tags_of(i).get("Name", ""))
        or carried[tags_of(i)["Name"].casefold()] > 1
    ]


def slot_of(instance: Answer) -> int | None:
    """The slot that an instance's tag says; None if it says none."""
    value = tags_of(instance).get(SLOT_TAG, "")
    return int(value) if SLOT.fullmatch(value) else None


def named(instance: Answer, slot: int) -> str:
    """What an instance is called in a slot."""
    return _joined(tags_of(instance).get("Name", ""), slot)


def name_without_slot(name: str, instance_id: str) -> str:
    """What a node is called that would have a slot and cannot be given it."""
    given = f"{name.rpartition('-')[0]}-{instance_id}"
    return given if HOST_NAME.fullmatch(given) else instance_id


def possible_names(group: Answer, slots: Mapping[str, int]) -> tuple[str, ...]:
    """The names that nodes of the scaling group can have, whether or not they live."""
    most = max([group.get("MaxSize", 0), group["DesiredCapacity"], *slots.values()])
    return tuple(_joined(_name_tag(group), slot) for slot in range(1, most + 1))


def _joined(tag: str, slot: int) -> str:
    base = tag if len(tag) <= LONGEST and HOST_NAME.fullmatch(tag) else USUAL_NAME
    return f"{base}-{slot}"


def _name_tag(group: Answer) -> str:
    """The Name tag that a scaling group gives to its instances."""
    return next((t["Value"] for t in group.get("Tags", []) if t["Key"] == "Name"), "")


def name_nodes(
    stack: str, instances: Sequence[Answer], slots: Mapping[str, int] | None = None
) -> tuple[Node, ...]:
    """Name every instance: by its slot if it has one, else by its Name tag.

    The instance id is added to a Name tag that others carry, and stands alone where the
    tag cannot be a host name. ``slots`` is by instance id, as ``assign_slots`` says.
    """
    slots = slots or {}
    by_slot = {
        i["InstanceId"]: named(i, slots[i["InstanceId"]])
        for i in instances
        if i["InstanceId"] in slots
    }
    # Host names are not case-sensitive.
    carried = Counter(tags_of(i).get("Name", "").casefold() for i in instances)
    carried.update(given.casefold() for given in by_slot.values())
    nodes = []
    for instance in instances:
        id_, tag = instance["InstanceId"], tags_of(instance).get("Name", "")
        given = tag if carried[tag.casefold()] == 1 else f"{tag}-{id_}"
        given = by_slot.get(id_, given if HOST_NAME.fullmatch(given) else id_)
        unwritten = slots.get(id_) if slot_of(instance) != slots.get(id_) else None
        nodes.append(node_of(stack, instance, given, unwritten))
    return tuple(sorted(nodes, key=lambda n: (n.role, n.launched_at, n.instance_id)))
