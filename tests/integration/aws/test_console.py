"""Host keys are read from EC2's console, which shows them late or never."""

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from portway.aws.console import LATE, read_host_keys
from portway.errors import PortwayError
from portway.model.stack import Node, Role
from tests.integration.aws_server import AwsServer, Edit
from tests.integration.conftest import REGION, Account
from tests.unit import samples
from tests.unit.model.test_host_keys import console, key

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def shows(text: str) -> Edit:
    """EC2's answer with this on the console."""
    output = base64.b64encode(text.encode()).decode()
    return lambda answer: re.sub(
        r"<output>.*?</output>", f"<output>{output}</output>", answer, flags=re.DOTALL
    )


@pytest.fixture
def node(stack: Account) -> Node:
    """A node that was started a minute ago."""
    return samples.node(
        "lb-1",
        Role.LOAD_BALANCER,
        1,
        instance_id=stack.load_balancer("lb-1"),
        started_at=NOW - timedelta(minutes=1),
    )


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = NOW
        self.said: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def read(self, *nodes: Node) -> dict[str, object]:
        return dict(
            read_host_keys(
                REGION,
                nodes,
                self.said.append,
                sleep=self.sleep,
                now=lambda: self.now,
            )
        )


def test_keys_are_read(aws: AwsServer, node: Node) -> None:
    aws.edit("ec2:GetConsoleOutput", shows(console(key(1))))
    clock = Clock()
    assert clock.read(node) == {node.instance_id: (key(1),)}
    assert clock.said == []


def test_console_of_a_young_instance_is_waited_for_with_progress(
    aws: AwsServer, node: Node
) -> None:
    aws.edit_once("ec2:GetConsoleOutput", shows(""), shows("[ 0.0] Linux"))
    aws.edit("ec2:GetConsoleOutput", shows(console(key(1))))
    clock = Clock()
    assert clock.read(node) == {node.instance_id: (key(1),)}
    assert [f"lb-1 ({node.instance_id}) (0 s" in line for line in clock.said] == [1, 0]
    assert "(10 s so far" in clock.said[1]


def test_wait_is_bounded(aws: AwsServer, node: Node) -> None:
    aws.edit("ec2:GetConsoleOutput", shows("[ 0.0] Linux"))
    clock = Clock()
    assert clock.read(node) == {node.instance_id: ()}
    assert LATE < clock.now - (node.started_at or NOW) < LATE + timedelta(seconds=20)


@pytest.mark.parametrize(
    ("minutes", "text"), [(60, "Debian GNU/Linux 13"), (1, console())]
)
def test_keys_that_will_not_come_are_not_waited_for(
    aws: AwsServer, node: Node, minutes: int, text: str
) -> None:
    """The instance is old, or cloud-init has printed all it will print."""
    aws.edit("ec2:GetConsoleOutput", shows(text))
    clock = Clock()
    started = NOW - timedelta(minutes=minutes)
    assert clock.read(replace(node, started_at=started)) == {node.instance_id: ()}
    assert clock.said == []


def test_missing_right_is_named(aws: AwsServer, node: Node) -> None:
    aws.refuse("ec2:GetConsoleOutput", "UnauthorizedOperation", "no")
    with pytest.raises(PortwayError, match=r"console of lb-1: access denied.*Console"):
        Clock().read(node)
