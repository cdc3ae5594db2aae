"""A cheap look at AWS: whether a run of this node might find anything to do.

It asks what release is published, which nodes there are and, on an application node,
whether its secret was rotated, and loads nothing for it: curl signs the calls, and is
told whom to ask by a run, which knows AWS's endpoints.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from portway.aws.own_instance import SERVICE
from portway.model.progress import TAG
from portway.model.published import parameter_name

SECONDS = 10
"""How long one answer may take."""
GONE = ("terminated", "shutting-down")
"""States of instances that are nothing to look at. What knows of others loads the model
of a stack, and most looks need none."""
LOAD_BALANCER, APPLICATION = "load-balancer", "application"
"""What nodes are; the same goes for these."""
TERMINATED = "Terminated"
"""What the metadata service says of a node that its group is about to terminate."""
SPOT = "spot"
"""What it becomes if EC2 is about to take it back, two minutes after it said so."""
CURRENT = "AWSCURRENT"
"""The stage of a secret's version that counts."""
BETWEEN = "portway-between"
"""A line between two answers of the metadata service."""
EC2_VERSION = "2016-11-15"
CURL = ("curl", "--disable", "--silent", "--show-error", "--config", "-")
"""``--disable``, which must be the first one: nothing of root's own ``.curlrc``."""
STATUS = "portway-status "
"""Follows each answer, with its status."""

_BETWEEN = f"\\n{BETWEEN}\\n"
_CODE = re.compile(r'(?:<Code>|"__type":\s*")([\w.#]+)')
_LOCAL = (("noproxy", "*"), "fail")
"""Options for what is on this machine; a refusal there has no answer to read."""
_TAGS = ("Name", "portway:master", "portway:slot")
"""Tags of instances that runs go by."""

_UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ElementTree.ParseError,
)
"""What reading an answer raises that is something else."""

Ask = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Places:
    """Whom a look asks, and for which stack; none of it is secret."""

    stack: str
    region: str
    ssm: str
    """The URL of Systems Manager."""
    ec2: str
    """The URL of EC2."""
    instance: str
    """The id of the instance that looks."""
    role: str
    """The name of its role."""
    secrets: str = ""
    """The URL of Secrets Manager."""
    secret: str = ""
    """The ARN of the application's secret; empty for a node that does not read it."""


Look = Callable[[Places], str]
"""Makes a look; LookError without an answer."""


class LookError(Exception):
    """AWS was not asked, or did not answer: what happened, in a line."""


def curl(config: str) -> str:
    """What curl prints for a configuration: nothing of it is in a command line."""
    try:
        done = subprocess.run(  # noqa: S603 - what it does is in the configuration
            CURL,
            input=config,
            capture_output=True,
            text=True,
            check=False,
            timeout=3 * SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LookError(f"curl did not come to its end: {error}") from error
    if done.returncode:
        raise LookError(" ".join(done.stderr.split())[:300])
    return done.stdout


def look_at(places: Places, ask: Ask = curl) -> str:
    """Stands for everything that was found; another text for anything else.

    LookError without a whole answer.
    """
    keys, target = _credentials(places, ask)
    release, nodes = _asked(places, keys, ask, *_calls(places))
    try:
        value = json.loads(release)["Parameter"]["Value"]
        found = [value, sorted(_instances(nodes, places.instance))]
        if places.secret:  # an application node, which is to leave in good order
            found += [target, _version(places, keys, ask)]
    except _UNREADABLE as error:
        raise LookError(f"AWS answers something else: {error!r}") from error
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def is_leaving(places: Places, ask: Ask = curl) -> bool:
    """Whether AWS is about to take this node away; LookError if unknown."""
    return bool(_credentials(places, ask)[1])


def _credentials(places: Places, ask: Ask) -> tuple[Mapping[str, Any], str]:
    """The keys of this node's role, which last for some hours, and what it becomes.

    That is TERMINATED, SPOT, or empty for everything else.
    """
    lifetime = "X-aws-ec2-metadata-token-ttl-seconds: 60"
    url = f"{SERVICE}/api/token"
    token = ask(
        _config(("url", url), ("request", "PUT"), ("header", lifetime), *_LOCAL)
    )
    header = "header", f"X-aws-ec2-metadata-token: {token.strip()}"
    keys = f"{SERVICE}/meta-data/iam/security-credentials/{places.role}"
    state = f"{SERVICE}/meta-data/autoscaling/target-lifecycle-state"
    first = ("url", keys), header, ("write-out", _BETWEEN), "fail-early", *_LOCAL
    second = ("url", state), header, ("write-out", _BETWEEN), _LOCAL[0]
    notice = f"{SERVICE}/meta-data/spot/instance-action"
    third = ("url", notice), header, _LOCAL[0]
    configs = (_config(*options) for options in (first, second, third))
    answers = ask("next\n".join(configs)).split(f"\n{BETWEEN}\n")
    credentials, target, action = (*answers, "", "")[:3]
    becomes = TERMINATED if target.strip() == TERMINATED else ""
    if _is_notice(action):
        becomes = SPOT
    try:
        found = json.loads(credentials)
        return (
            {name: found[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")},
            becomes,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LookError("the metadata service gives no credentials") from error


@dataclass(frozen=True, slots=True)
class _Call:
    """One of AWS's, as HTTP has it."""

    service: str
    url: str
    body: str
    target: str = ""
    """The operation, of a service that speaks JSON; EC2 has it in the body."""

    def headers(self) -> Iterator[str]:
        kind = "x-amz-json-1.1" if self.target else "x-www-form-urlencoded"
        yield f"Content-Type: application/{kind}"
        if self.target:
            yield f"X-Amz-Target: {self.target}"


def _is_notice(answer: str) -> bool:
    """Whether this says that EC2 takes the instance back; mostly it is a 404 page."""
    try:
        return "action" in json.loads(answer)
    except (ValueError, TypeError):
        return False


def _calls(places: Places) -> tuple[_Call, _Call]:
    """What every look asks: the release, and the nodes."""
    parameter = json.dumps({"Name": parameter_name(places.stack)})
    nodes = (
        f"Action=DescribeInstances&Version={EC2_VERSION}"
        f"&Filter.1.Name=tag%3Aportway%3Astack&Filter.1.Value.1={places.stack}"
    )
    return (
        _Call("ssm", places.ssm, parameter, "AmazonSSM.GetParameter"),
        _Call("ec2", places.ec2, nodes),
    )


def _version(places: Places, keys: Mapping[str, Any], ask: Ask) -> str:
    """Which version of the secret is the current one; empty if nothing says.

    It hides nothing else: a run takes a rotated password all the same, only later.
    """
    body = json.dumps({"SecretId": places.secret})
    target = "secretsmanager.DescribeSecret"
    call = _Call("secretsmanager", places.secrets, body, target)
    try:
        (answer,) = _asked(places, keys, ask, call)
        stages = json.loads(answer)["VersionIdsToStages"]
        (version,) = (version for version in stages if CURRENT in stages[version])
    except (LookError, *_UNREADABLE):
        return ""
    return str(version)


def _asked(
    places: Places, keys: Mapping[str, Any], ask: Ask, *calls: _Call
) -> list[str]:
    """The answers to calls, from one start of curl."""
    answers = ask(
        "next\n".join(
            _config(
                ("url", call.url),
                ("data", call.body),
                ("user", f"{keys['AccessKeyId']}:{keys['SecretAccessKey']}"),
                ("aws-sigv4", f"aws:amz:{places.region}:{call.service}"),
                ("header", f"X-Amz-Security-Token: {keys['Token']}"),
                *(("header", header) for header in call.headers()),
                ("write-out", f"\\n{STATUS}%{{http_code}}\\n"),
                "fail-early",
            )
            for call in calls
        )
    )
    parts = re.split(rf"\n{STATUS}(\d+)\n", answers)
    statuses, bodies = parts[1::2], parts[0::2]
    if statuses != ["200"] * len(calls):
        # Nothing else of them: AWS explains a wrong signature with what was signed.
        codes = _CODE.findall(answers)
        raise LookError(f"AWS answers {', '.join([*statuses, *codes])}")
    return bodies[: len(calls)]


def _config(*options: tuple[str, str] | str) -> str:
    """What curl reads: a line for each option, and no value for a switch."""
    limits = (("max-time", str(SECONDS)), ("connect-timeout", "5"))
    lines = (
        option
        if isinstance(option, str)
        else f"{option[0]} = {json.dumps(option[1], ensure_ascii=False)}"
        for option in (*limits, *options)
    )
    return "\n".join((*lines, ""))


def _instances(answer: str, own: str) -> Iterator[tuple[str, ...]]:
    """What matters of each instance; not what this node itself tells, or when."""
    found = list(_all_instances(answer, own))
    roles = {instance[0]: instance[1] for instance in found}
    for id_, role, *rest in found:
        # An application node has nothing to do with the other ones.
        if id_ == own or role != roles.get(own) or role != APPLICATION:
            yield id_, role, *rest


def _all_instances(answer: str, own: str) -> Iterator[tuple[str, ...]]:
    """The same, of every node; first the id and the role."""
    root = ElementTree.fromstring(answer)  # noqa: S314 - AWS's own, over TLS
    for element in root.iter():  # each answer has its version's namespace
        element.tag = element.tag.rpartition("}")[2]
    if root.tag != "DescribeInstancesResponse":
        raise ValueError(root.tag)
    for item in root.iterfind("reservationSet/item/instancesSet/item"):
        id_ = item.findtext("instanceId", "")
        state = item.findtext("instanceState/name", "")
        if state in GONE:
            continue
        tags = {
            tag.findtext("key", ""): tag.findtext("value", "")
            for tag in item.iterfind("tagSet/item")
        }
        told = tags.get(TAG, "").rpartition(" ")[0] if id_ != own else ""
        address = item.findtext("privateIpAddress", "")
        role = tags.get("portway:role", "")
        yield id_, role, state, address, told, *(tags.get(name, "") for name in _TAGS)
