"""The address mover's calls, against moto: each kind looked at, moved and rehearsed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from portway.contract.address import AddressKind, Call
from portway.contract.mover import MoverConfig
from portway.model.build import build_cluster
from portway.model.stack import Stack
from portway.node.address.ec2 import Ec2, Ec2Error, Failure
from portway.node.address.keepalived import State
from portway.node.address.mover import Mover
from portway.render.address_mover import mover_config
from tests.integration.aws_server import AwsServer
from tests.integration.conftest import Account
from tests.unit.samples import clients, settings

MOVED = [AddressKind.ELASTIC_IP, AddressKind.PRIVATE, AddressKind.ROUTE]
CLAIMS = ("AssociateAddress", "AssignPrivateIpAddresses", "ReplaceRoute", "CreateRoute")

Discovery = Callable[[], Stack]


def configs(discover: Discovery) -> dict[str, MoverConfig]:
    """What the mover of each load balancer is told."""
    cluster = build_cluster(discover(), settings(), clients())
    return {lb.name: mover_config(cluster, lb, "") for lb in cluster.load_balancers}


def config(discover: Discovery, node: str) -> MoverConfig:
    return configs(discover)[node]


def become_master(mover: Mover) -> None:
    """Let a mover claim the address and see that it is so."""
    mover.hear(State.MASTER)
    for _ in range(2):
        mover.act(lambda: None)


@pytest.fixture(params=MOVED)
def of_each_kind(account: Account, request: pytest.FixtureRequest) -> Account:
    account.create_with(request.param)
    return account


def test_address_goes_to_each_node_in_turn_and_rehearsing_changes_nothing(
    of_each_kind: Account, aws: AwsServer, discover: Discovery
) -> None:
    wanted = configs(discover)
    clouds = {name: Ec2(config) for name, config in wanted.items()}

    def holders() -> set[str | None]:
        return {place.holder for place in clouds["lb-2"].describe()}

    def dry_run() -> None:
        before = holders()
        cloud = clouds["lb-2"]
        assert {cloud.dry_run(call) for call in cloud.move_calls(cloud.describe())} == {
            ""
        }
        assert holders() == before

    assert holders() == {None}
    dry_run()
    for node in ("lb-1", "lb-2", "lb-1"):
        mover = Mover(wanted[node], clouds[node])
        become_master(mover)
        assert mover.memory.arrived, mover.memory.last_failure
        assert holders() == {of_each_kind.interface(node)}
        assert mover.memory.moves == len(wanted[node].objects)
    dry_run()
    aws.forget()
    become_master(Mover(wanted["lb-1"], clouds["lb-1"]))
    assert not set(CLAIMS) & {call.partition(":")[2] for call in aws.calls}
    assert discover().virtual_address.holder == of_each_kind.interface("lb-1")


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (AddressKind.ELASTIC_IP, "ec2:AssociateAddress"),
        (AddressKind.PRIVATE, "ec2:AssignPrivateIpAddresses"),
        (AddressKind.ROUTE, "ec2:CreateRoute"),
    ],
)
def test_rehearsal_tells_of_a_missing_permission(
    account: Account,
    aws: AwsServer,
    discover: Discovery,
    kind: AddressKind,
    action: str,
) -> None:
    account.create_with(kind)
    cloud = Ec2(config(discover, "lb-2"))
    aws.refuse(action, "UnauthorizedOperation", "You may not.")
    texts = {cloud.dry_run(call) for call in cloud.move_calls(cloud.describe())}
    assert texts == {f"{action}: UnauthorizedOperation: You may not."}


def test_address_of_an_ended_node_is_taken_over(
    account: Account, discover: Discovery
) -> None:
    account.create_with(AddressKind.ROUTE)
    wanted = configs(discover)
    become_master(Mover(wanted["lb-1"], Ec2(wanted["lb-1"])))
    survivor = wanted["lb-2"]
    account.client("ec2").terminate_instances(
        InstanceIds=[account.load_balancer("lb-1")]
    )
    mover = Mover(survivor, Ec2(survivor))
    become_master(mover)
    assert set(mover.memory.holders) == {account.interface("lb-2")}


def test_error_of_aws_names_the_action(account: Account, discover: Discovery) -> None:
    account.create()
    cloud = Ec2(config(discover, "lb-1"))
    call = Call("associate_address", {"AllocationId": "eipalloc-no", "InstanceId": "i"})
    with pytest.raises(Ec2Error, match=r"^ec2:AssociateAddress: Invalid") as caught:
        cloud.make(call)
    assert caught.value.failure is Failure.REFUSED


def test_no_answer_is_told_within_the_timeout(
    account: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.create()
    wanted = config(discover, "lb-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Ec2Error, match="ec2:DescribeAddresses: ") as caught:
        Ec2(wanted).describe()
    assert caught.value.failure is Failure.UNREACHABLE


def test_no_credentials_are_asked_for_again_each_time(
    account: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.create()
    cloud = Ec2(config(discover, "lb-1"))
    with monkeypatch.context() as without:
        without.delenv("AWS_ACCESS_KEY_ID")
        without.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(Ec2Error, match="credentials") as caught:
            cloud.describe()
        assert caught.value.failure is Failure.UNREACHABLE
    assert cloud.describe()


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """The URL of a server that answers every call alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def ec2_error(code: str) -> str:
    return (
        f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error>"
        "</Errors><RequestID>1</RequestID></Response>"
    )


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ((503, ec2_error("RequestLimitExceeded")), Failure.THROTTLED),
        ((400, ec2_error("EC2ThrottledException")), Failure.THROTTLED),
        ((400, ec2_error("RequestThrottled")), Failure.THROTTLED),
        ((503, "<html><body>Service Unavailable</body></html>"), Failure.THROTTLED),
        ((503, "<!DOCTYPE html><p>busy<br></p>"), Failure.THROTTLED),
        ((503, ""), Failure.THROTTLED),
        ((403, ec2_error("UnauthorizedOperation")), Failure.DENIED),
        ((400, ec2_error("InvalidAllocationID.NotFound")), Failure.REFUSED),
    ],
)
def test_every_way_to_say_slow_down_is_heard(
    stack: Account,
    discover: Discovery,
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, str],
    failure: Failure,
) -> None:
    cloud = Ec2(config(discover, "lb-1"))
    with answering(*answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(Ec2Error) as error:
            cloud.describe()

    assert error.value.failure is failure, str(error.value)
