"""Which instances have hosts."""

from typing import Any

from lab.aws.stack import named


def instance(**tags: str) -> dict[str, Any]:
    return {"Tags": [{"Key": k.replace("_", ":"), "Value": v} for k, v in tags.items()]}


def test_instance_of_the_group_without_a_name_of_its_own_is_no_machine_yet() -> None:
    """A host built for it would be built again, with other keys, under its name."""
    there = [instance(Name="lb-1"), instance(Name="app", lab_machine="app-1")]
    assert named([*there, instance(Name="app")]) == there
