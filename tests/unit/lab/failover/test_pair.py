"""What the lab makes of a load balancer's own words."""

import pytest

from lab.failover import pair


@pytest.mark.parametrize(
    ("status", "up"),
    [("UP", True), ("UP 1/3", True), ("no check", True), ("DOWN", False), ("", False)],
)
def test_server_is_up_as_haproxy_says(status: str, up: bool) -> None:
    assert pair._is_up(status) is up
