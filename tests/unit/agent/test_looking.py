"""A look at AWS: what it sees, how its calls are signed, and what it says.

The calls are made by this machine's curl, to a server that is the test.
"""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from portway.agent.idling import why_idle
from portway.agent.memory import Files, Memory
from portway.aws import looking
from portway.aws.looking import LookError, Places, is_leaving, look_at
from portway.model.suspension import Suspension

SECRET = 'wJalr/K7+x"\\='
KEYS = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": SECRET, "Token": "IQoJb3//=="}
SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:1:secret:one-Ab12Cd"
RELEASE = json.dumps({"Parameter": {"Value": "none"}})
ITEM = """<item><instancesSet><item><instanceId>{id}</instanceId>
<instanceState><code>16</code><name>{state}</name></instanceState>
<privateIpAddress>{address}</privateIpAddress><tagSet>
<item><key>portway:role</key><value>load-balancer</value></item>
<item><key>portway:master</key><value>{master}</value></item>
<item><key>portway:pair</key><value>{told}</value></item></tagSet>
</item></instancesSet></item>"""
NODES = """<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<reservationSet>{items}</reservationSet></DescribeInstancesResponse>"""
REFUSED = """<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>
x-amz-security-token:IQoJb3//==</Message></Error></ErrorResponse>"""
NOW = 1_800_000_000.0
PLACES = Places("one", "eu-central-1", "/ssm", "/ec2", "i-own", "one-role")


@dataclass(frozen=True)
class Instance:
    id: str = "i-other"
    state: str = "running"
    address: str = "10.0.0.2"
    told: str = "begun 0123456789abcdef 1800000000"
    master: str = ""

    def __str__(self) -> str:
        return ITEM.format(**asdict(self))


def nodes(*found: Instance) -> str:
    return NODES.format(items="".join(map(str, found)))


def seen(release: str, found: str) -> str:
    """What a look sees, if these are the answers."""

    def ask(config: str) -> str:
        if "aws-sigv4" not in config:
            return "token" if "PUT" in config else json.dumps(KEYS)
        return "".join(f"{a}\nportway-status 200\n" for a in (release, found))

    return look_at(PLACES, ask)


OWN, OTHER = Instance("i-own", address="10.0.0.1"), Instance()
USUAL = seen(RELEASE, nodes(OWN, OTHER))


@pytest.mark.parametrize(
    "found",
    [
        (OTHER, OWN),
        (OWN, replace(OTHER, told="begun 0123456789abcdef 1800000600")),
        (replace(OWN, told="serves 0123456789abcdef 1800000600"), OTHER),
        (OWN, OTHER, Instance("i-gone", "terminated")),
        (OWN, OTHER, Instance("i-going", "shutting-down")),
    ],
)
def test_nothing_to_do(found: tuple[Instance, ...]) -> None:
    assert seen(RELEASE, nodes(*found)) == USUAL


@pytest.mark.parametrize(
    "found",
    [
        (OWN,),
        (OWN, OTHER, Instance("i-new", "pending", "10.0.0.3")),
        (OWN, replace(OTHER, state="stopped")),
        (OWN, replace(OTHER, address="10.0.0.9")),
        (OWN, replace(OTHER, told="serves 0123456789abcdef 1800000000")),
        (OWN, replace(OTHER, told="begun aaaaaaaaaaaaaaaa 1800000000")),
        (OWN, replace(OTHER, told="")),
        (replace(OWN, master="yes"), OTHER),
    ],
)
def test_another_system(found: tuple[Instance, ...]) -> None:
    assert seen(RELEASE, nodes(*found)) != USUAL


def test_another_release() -> None:
    other = json.dumps({"Parameter": {"Value": '{"name": "portway-2.tar"}'}})
    assert seen(other, nodes(OWN, OTHER)) != USUAL


@pytest.mark.parametrize(
    ("release", "found"),
    [
        ("{}", nodes()),
        ("[]", nodes()),
        ("<", nodes()),
        (RELEASE, "<"),
        (RELEASE, "<a/>"),
    ],
)
def test_something_else_is_no_answer(release: str, found: str) -> None:
    with pytest.raises(LookError, match="AWS answers something else"):
        seen(release, found)


@dataclass
class World:
    """The metadata service, Systems Manager and EC2, each below a path."""

    url: str = ""
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    secret: str = SECRET
    """With which calls must be signed."""

    @property
    def places(self) -> Places:
        return replace(PLACES, ssm=f"{self.url}/ssm", ec2=f"{self.url}/ec2")

    @property
    def of_application(self) -> Places:
        """Whom a node asks that reads a secret."""
        url = f"{self.url}/secretsmanager"
        return replace(self.places, secrets=url, secret=SECRET_ARN)

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, str]:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        where = request.path.removeprefix("/")
        self.asked.append(where)
        service = where.partition("/")[0]
        if service != "meta" and not self._is_signed(request, service, body):
            return 403, REFUSED
        return self.answers.get(where, (404, "<html>\n no group has it\n</html>"))

    def _is_signed(
        self, request: BaseHTTPRequestHandler, service: str, body: bytes
    ) -> bool:
        """Whether a signature is the one that botocore makes of the same request."""
        given = request.headers["Authorization"]
        signed = re.search(r"SignedHeaders=([^,]+)", given)
        assert signed
        headers = {name: request.headers[name] for name in signed[1].split(";")}
        for wanted in ("host", "x-amz-date", "x-amz-security-token", "content-type"):
            assert wanted in headers
        assert headers["x-amz-security-token"] == KEYS["Token"]
        again = AWSRequest("POST", self.url + request.path, headers, body)
        again.context["timestamp"] = headers["x-amz-date"]
        keys = Credentials(KEYS["AccessKeyId"], self.secret, KEYS["Token"])
        auth = SigV4Auth(keys, service, PLACES.region)
        text = auth.string_to_sign(again, auth.canonical_request(again))
        return bool(given.endswith(f"Signature={auth.signature(text, again)}"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World()
    role = f"meta/meta-data/iam/security-credentials/{PLACES.role}"
    found.answers = {
        "meta/api/token": (200, "token\n"),
        role: (200, json.dumps(KEYS, indent=2)),  # as EC2 gives it
        "ssm": (200, RELEASE),
        "ec2": (200, nodes(OWN, OTHER)),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, text = found.answer(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = do_POST  # noqa: N815 - as its base calls them

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(looking, "SERVICE", f"{found.url}/meta")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def test_calls_are_two_and_signed_as_botocore_signs_them(world: World) -> None:
    assert look_at(world.places) == USUAL
    assert world.asked[-2:] == ["ssm", "ec2"]
    assert len(world.asked) == 6, "and four to the machine's own metadata service"


def versions(**stages: list[str]) -> tuple[int, str]:
    """What Secrets Manager says of a secret with these versions."""
    return 200, json.dumps({"ARN": SECRET_ARN, "VersionIdsToStages": stages})


def test_secret_that_was_rotated_is_something_to_do(world: World) -> None:
    """What is prepared, or was before, is not."""
    places = world.of_application
    world.answers["secretsmanager"] = versions(a=["AWSCURRENT"])
    before = look_at(places)
    assert world.asked[-3:] == ["ssm", "ec2", "secretsmanager"]
    pending = versions(a=["AWSCURRENT"], b=["AWSPENDING"], c=["AWSPREVIOUS"])
    world.answers["secretsmanager"] = pending
    assert look_at(places) == before
    world.answers["secretsmanager"] = versions(a=["AWSPREVIOUS"], b=["AWSCURRENT"])
    assert look_at(places) != before


@pytest.mark.parametrize(
    "answer",
    [
        versions(a=["AWSPREVIOUS"]),
        (200, "{}"),
        (200, "<"),
        (200, '{"VersionIdsToStages": []}'),
        (400, '{"__type":"AccessDeniedException"}'),
        (500, ""),
    ],
)
def test_secret_that_nothing_is_said_of_hides_nothing_else(
    world: World, answer: tuple[int, str]
) -> None:
    """A run takes a rotated password all the same."""
    places = world.of_application
    world.answers["secretsmanager"] = answer
    before = look_at(places)
    assert look_at(replace(places, secrets="http://127.0.0.1:1")) == before
    world.answers["ec2"] = 200, nodes(OWN)
    assert look_at(places) != before
    world.answers["ssm"] = 400, '{"__type":"ParameterNotFound"}'
    with pytest.raises(LookError, match="400, 200, ParameterNotFound"):
        look_at(places)


STATE = "meta/meta-data/autoscaling/target-lifecycle-state"


def test_node_that_its_group_gives_up_has_something_to_do(world: World) -> None:
    """Of those that drain their streams; load balancers do not."""
    places, usual = world.of_application, look_at(world.of_application)
    assert not is_leaving(places)
    world.answers[STATE] = 200, "InService"
    assert look_at(places) == usual
    assert not is_leaving(places)
    world.answers[STATE] = 200, "Terminated"
    assert look_at(places) != usual
    assert look_at(world.places) == USUAL
    assert is_leaving(places)


SPOT_NOTICE = "meta/meta-data/spot/instance-action"


def test_node_that_ec2_takes_back_has_something_to_do(world: World) -> None:
    places, usual = world.of_application, look_at(world.of_application)
    for nothing in ("[]", "3", "<html>", '{"time": "2026-11-29T08:22:00Z"}'):
        world.answers[SPOT_NOTICE] = 200, nothing
        assert look_at(places) == usual
        assert not is_leaving(places)
    text = json.dumps({"action": "terminate", "time": "2026-11-29T08:22:00Z"})
    world.answers[SPOT_NOTICE] = 200, text
    assert look_at(places) != usual
    assert is_leaving(places)
    world.answers[STATE] = 200, "Terminated"
    assert is_leaving(places)


def test_signature_of_other_keys_is_refused_and_tells_no_secret(world: World) -> None:
    world.secret = "other"
    with pytest.raises(LookError) as told:
        look_at(world.places)
    assert str(told.value).startswith("AWS answers 403, 403, SignatureDoesNotMatch")
    assert KEYS["Token"] not in str(told.value)


@pytest.mark.parametrize(
    ("where", "status", "text", "told"),
    [
        ("meta/api/token", 403, "", "returned error: 403"),
        ("meta/meta-data/iam/security-credentials/one-role", 404, "", "error: 404"),
        (
            "meta/meta-data/iam/security-credentials/one-role",
            200,
            "{}",
            "gives no cred",
        ),
        ("ssm", 400, '{"__type":"ParameterNotFound"}', "400, 200, ParameterNotFound"),
        ("ec2", 503, "<Code>RequestLimitExceeded</Code>", "200, 503, RequestLimitExc"),
    ],
)
def test_what_is_refused_is_said(
    world: World, where: str, status: int, text: str, told: str
) -> None:
    world.answers[where] = (status, text)
    with pytest.raises(LookError, match=told):
        look_at(world.places)


@pytest.mark.parametrize("service", ["ssm", "ec2"])
def test_nobody_answers(world: World, service: str) -> None:
    places = asdict(world.places) | {service: "http://127.0.0.1:1"}
    with pytest.raises(LookError, match="Failed to connect"):
        look_at(Places(**places))


def test_nothing_of_the_machine_changes_what_curl_does(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".curlrc").write_text(f"trace-ascii = {tmp_path}/trace\ninclude\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CURL_HOME", str(tmp_path))
    assert look_at(world.places) == USUAL
    assert not (tmp_path / "trace").exists()


def test_machine_without_curl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LookError, match=r"curl did not come to its end: .*curl"):
        look_at(PLACES)


def test_aws_is_asked_only_where_nothing_else_decides(tmp_path: Path) -> None:
    files, asked = Files(tmp_path), []

    def look(places: Places) -> str:
        asked.append(places)
        return "now"

    def why(now: float) -> str | None:
        return why_idle(files, now, 1800, look)

    assert why(NOW) is None, "the first run"
    files.keep(Memory(ran=NOW))
    assert why(NOW + 60) == "", "no run has found out whom to ask"
    places = asdict(PLACES)
    files.keep(Memory(ran=NOW, seen="before", places=places))
    assert why(NOW + 3600) is None, "it is time"
    assert not asked
    assert why(NOW + 60) is None, "something has changed"
    assert asked == [PLACES]
    files.keep(Memory(ran=NOW, seen="now", places=places))
    assert why(NOW + 60) == ""
    files.keep(Memory(ran=NOW, places=places))
    assert why(NOW + 60) is None, "the last run saw nothing"
    files.keep(Memory(ran=NOW, seen="now", places={"stack": "one"}))
    with pytest.raises(LookError, match="not known whether anything has changed"):
        why(NOW + 60)
    files.suspend(Suspension("tests", "anna", NOW))
    assert str(why(NOW + 3600)).startswith("suspended by anna")
    assert len(asked) == 3
