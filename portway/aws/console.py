"""Reads SSH host keys where nobody on the network can forge them: EC2's console."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from portway.aws.client import Aws
from portway.aws.errors import AwsCallError
from portway.model.host_keys import HostKey, has_finished, keys_on_console
from portway.model.stack import Node

LATE = timedelta(minutes=10)
"""EC2 shows what an instance prints within minutes of its start. After this it will
not come any more."""
POLL_SECONDS = 10.0
NOT_NITRO = ("UnsupportedOperation", "InvalidParameterCombination")


def read_host_keys(
    region: str,
    nodes: Sequence[Node],
    progress: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Mapping[str, tuple[HostKey, ...]]:
    """The host keys on the console of each node, by instance id.

    Waits for those of instances that were started within the last minutes.
    """
    aws = Aws(region)
    found: dict[str, tuple[HostKey, ...]] = {}
    since = now()
    while True:
        awaited = []
        for node in nodes:
            if node.instance_id in found:
                continue
            text = _read(aws, node)
            keys = keys_on_console(text)
            late = node.started_at is None or now() - node.started_at > LATE
            if keys or late or has_finished(text):
                found[node.instance_id] = keys
            else:
                awaited.append(f"{node.name} ({node.instance_id})")
        if not awaited:
            return found
        progress(
            f"waiting for EC2 to show the console of {', '.join(awaited)} "
            f"({(now() - since).total_seconds():.0f} s so far, at most "
            f"{LATE.total_seconds():.0f} s after its start)"
        )
        sleep(POLL_SECONDS)


def _read(aws: Aws, node: Node) -> str:
    """What an instance has printed; empty if EC2 does not show it yet."""
    about = f"the console of {node.name}"
    call = "ec2", "get_console_output", about
    try:
        answer = aws.call(*call, InstanceId=node.instance_id, Latest=True)
    except AwsCallError as error:
        if error.code not in NOT_NITRO:
            raise
        answer = aws.call(*call, InstanceId=node.instance_id)
    return str(answer.get("Output") or "")
