"""What AWS does by itself for auto scaling groups, and moto must be told."""

from typing import Any

from lab.aws.groups import short, unhealthy


def group(desired: int, *health: str, suspended: str = "") -> dict[str, Any]:
    """A group with an instance for each health status."""
    return {
        "DesiredCapacity": desired,
        "Instances": [
            {"InstanceId": f"i-{number}", "HealthStatus": status}
            for number, status in enumerate(health)
        ],
        "SuspendedProcesses": [{"ProcessName": suspended}] if suspended else [],
    }


def test_group_is_short_when_an_instance_is_missing() -> None:
    whole, larger = group(1, "Healthy"), group(1, "Healthy", "Healthy")
    missing, suspended = group(2, "Healthy"), group(1, suspended="Launch")
    assert short([whole, larger, missing, suspended]) == [missing]


def test_unhealthy_instances_are_replaced_unless_that_is_suspended() -> None:
    assert unhealthy([group(2, "Healthy", "Unhealthy")]) == ["i-1"]
    assert unhealthy([group(2, "Healthy", "Healthy")], {"i-0", "i-7"}) == ["i-0"]
    assert unhealthy([group(1, "Unhealthy", suspended="ReplaceUnhealthy")]) == []
