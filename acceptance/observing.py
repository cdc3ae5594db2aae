"""What AWS really answers to what docs/aws.md says was never seen.

A function for each line that can be observed; it makes calls that change nothing, or
looks at what the parts of the run have noticed.
"""

import base64
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from acceptance.calls import Answer, Refused
from acceptance.items import ITEMS, After
from acceptance.making import resources
from acceptance.moves import LONGEST_MOVE
from acceptance.view import View
from portway.errors import PortwayError
from portway.model.host_keys import has_finished, keys_on_console
from portway.model.stack import Node, Role

PUBLIC_ADDRESS_SECONDS = 300
SSH_SECONDS = 300
SERVED_LATER = 3
"""Seconds from when the new holder is shown until a client is served, at most."""
SLOT_TAG = "portway:slot"


class Verdict(StrEnum):
    """What an observation says about its line."""

    SEEN = "as relied on"
    DIFFERS = "differs"
    UNCLEAR = "unclear"
    """What was asked for was not answered, or did not show it."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one line."""

    item: str
    verdict: Verdict
    text: str
    seconds: float
    answers: tuple[Answer, ...] = ()


Seen = tuple[Verdict, str]
Observer = Callable[[View], Seen]
OBSERVERS: dict[str, Observer] = {}


def observes(item: str) -> Callable[[Observer], Observer]:
    """Mark the function that observes a line."""

    def remember(observer: Observer) -> Observer:
        OBSERVERS[item] = observer
        return observer

    return remember


def observe(view: View, after: After) -> list[Observation]:
    """Everything that can be observed after a part of a run."""
    found = []
    for key, item in ITEMS.items():
        options = view.options
        if item.after is after and item.is_seen(
            options.kind, has_tunnel=options.has_tunnel
        ):
            found.append(_observe(view, key))
    return found


def _observe(view: View, key: str) -> Observation:
    began = time.monotonic()
    with view.owner.heard() as of_owner, view.operator.heard() as of_operator:
        try:
            verdict, text = OBSERVERS[key](view)
        except FailedError as error:
            verdict, text = Verdict.DIFFERS, str(error)
        except Exception as error:  # one probe must not end the run
            verdict, text = Verdict.UNCLEAR, f"{type(error).__name__}: {error}"
    seconds = round(time.monotonic() - began, 1)
    return Observation(key, verdict, text, seconds, (*of_owner, *of_operator))


class FailedError(Exception):
    """A node could not do what a line says that it can."""


def _on_node(view: View, node: Node, script: str) -> str:
    """What a node printed; FailedError if it ended with an error, or nobody got in."""
    try:
        return view.deploys.on_node(node.name, script).output
    except PortwayError as error:
        raise FailedError(error.message) from error


def judged(is_so: bool, text: str) -> Seen:
    """A verdict by a condition."""
    return (Verdict.SEEN if is_so else Verdict.DIFFERS), text


# --- Moving the address


def _moved(view: View) -> Seen:
    moves = [m for m in view.moves if m.shown is not None]
    if not moves:
        return Verdict.UNCLEAR, "no move was seen"
    text = "; ".join(
        f"{m.what}: AWS showed the new holder after {m.shown:.1f} s, a client was "
        + ("never cut" if m.served is None else f"served after {m.served:.1f} s")
        for m in moves
    )
    late = max(max(m.shown or 0, m.served or 0) for m in moves)
    return judged(late <= LONGEST_MOVE, text)


for _key in ("elastic-ip-moves", "private-address-moves", "route-moves"):
    observes(_key)(_moved)


@observes("holder-is-shown")
def _holder_is_shown(view: View) -> Seen:
    moves = [m for m in view.moves if m.shown is not None and m.served is not None]
    if not moves:
        return Verdict.UNCLEAR, "no client noticed a move"
    differences = [(m.served or 0) - (m.shown or 0) for m in moves]
    text = ", ".join(f"{d:+.1f} s" for d in differences)
    return judged(
        all(-2 < d <= SERVED_LATER for d in differences),
        f"from when AWS showed the new holder to a client that is served: {text}",
    )


@observes("streams-are-cut")
def _streams_are_cut(view: View) -> Seen:
    if not view.moves:
        return Verdict.UNCLEAR, "no move was seen"
    texts = [
        f"{m.what}: {', '.join(m.streams) or 'the open connection went on'}"
        for m in view.moves
    ]
    return judged(all(m.streams for m in view.moves), "; ".join(texts))


@observes("public-address-returns")
def _public_address_returns(view: View) -> Seen:
    """The standby has given the Elastic IP away some time ago."""
    holder = view.holder()
    standby = next(n for n in view.balancers() if n != holder)
    left = [m.began for m in view.moves if m.former and m.former.name == standby.name]
    began = time.monotonic()
    shown = ""
    while time.monotonic() - began < PUBLIC_ADDRESS_SECONDS:
        given = [standby.instance_id]
        answer = view.owner.call(
            "ec2", "describe_instances", standby.name, InstanceIds=given
        )
        shown = answer["Reservations"][0]["Instances"][0].get("PublicIpAddress", "")
        if shown:
            break
        time.sleep(5)
    since = f"{time.time() - left[-1]:.0f} s after the move" if left else "by now"
    text = "it has a public address" if shown else "it has no public address"
    return judged(bool(shown), f"{since} {text}")


@observes("foreign-address-refused")
def _foreign_address_refused(view: View) -> Seen:
    given = {
        "NetworkInterfaceId": view.balancers()[0].interface_id,
        "PrivateIpAddresses": ["192.0.2.1"],
    }
    answers = [
        c.probe("ec2", "assign_private_ip_addresses", **given)
        for c in (view.operator, view.owner)
    ]
    return _refusals(answers, may_not=0, text="without and with the right")


def _refusals(answers: list[Any], may_not: int, text: str) -> Seen:
    refused = [isinstance(a, Refused) for a in answers]
    codes = [a.code if isinstance(a, Refused) else "accepted" for a in answers]
    denied = [code == "UnauthorizedOperation" for code in codes]
    wanted = [number == may_not for number in range(len(answers))]
    return judged(all(refused) and denied == wanted, f"{text}: {', '.join(codes)}")


@observes("dry-run")
def _dry_run(view: View) -> Seen:
    node = view.balancers()[0]
    tag = {"Key": "portway:acceptance-probe", "Value": "never made"}
    given = {"Resources": [node.instance_id], "Tags": [tag], "DryRun": True}
    answers = [
        c.probe("ec2", "create_tags", **given) for c in (view.owner, view.operator)
    ]
    codes = [a.code if isinstance(a, Refused) else "accepted" for a in answers]
    text = f"CreateTags with and without the right: {', '.join(codes)}"
    is_so = codes == ["DryRunOperation", "UnauthorizedOperation"]
    return judged(is_so and not _has_tag(view, node, tag["Key"]), text)


def _has_tag(view: View, node: Node, key: str) -> bool:
    filters = [{"Name": "resource-id", "Values": [node.instance_id]}]
    tags = view.owner.read("ec2", "describe_tags", "Tags", node.name, Filters=filters)
    return key in [tag["Key"] for tag in tags]


# --- Permissions


def _nodes_may_move(view: View) -> Seen:
    """Each load balancer tries its own calls with DryRun."""
    nodes = view.balancers()
    for node in nodes:  # its status is checked
        _on_node(view, node, "portway-address permissions")
    names = " and ".join(node.name for node in nodes)
    return Verdict.SEEN, f"{names} may make the calls"


for _key in ("associate-address-judged", "route-table-key"):
    observes(_key)(_nodes_may_move)


@observes("interface-tags")
def _interface_tags(view: View) -> Seen:
    ids = [node.interface_id for node in view.balancers()]
    found = _interfaces(view, ids)
    tags = [{t["Key"]: t["Value"] for t in i.get("TagSet", [])} for i in found]
    wanted = {"portway:stack": view.options.stack, "portway:role": "load-balancer"}
    return judged(
        len(tags) == len(ids) and all(wanted.items() <= t.items() for t in tags),
        f"the tags of {len(tags)} interfaces: {tags}",
    )


def _interfaces(view: View, ids: list[str]) -> list[Any]:
    about = "the load balancers' interfaces"
    return view.owner.read(
        "ec2",
        "describe_network_interfaces",
        "NetworkInterfaces",
        about,
        NetworkInterfaceIds=ids,
    )


@observes("source-check-key")
def _source_check_key(view: View) -> Seen:
    ids = [node.interface_id for node in view.balancers()]
    checks = [interface["SourceDestCheck"] for interface in _interfaces(view, ids)]
    on = view.operator.probe(
        "ec2",
        "modify_network_interface_attribute",
        NetworkInterfaceId=ids[0],
        SourceDestCheck={"Value": True},
        DryRun=True,
    )
    code = on.code if isinstance(on, Refused) else "accepted"
    return judged(
        not any(checks) and code == "UnauthorizedOperation",
        f"the run turned the checks off ({checks}); to turn one on: {code}",
    )


@observes("create-tags-judged")
def _create_tags_judged(view: View) -> Seen:
    stack = view.stack()
    application = stack.with_role(Role.APPLICATION)[0].instance_id
    balancer = stack.with_role(Role.LOAD_BALANCER)[0].instance_id
    codes = []
    for resource, key in (
        (application, SLOT_TAG),
        (application, "portway:role"),
        (balancer, SLOT_TAG),
    ):
        answer = view.operator.probe(
            "ec2",
            "create_tags",
            Resources=[resource],
            Tags=[{"Key": key, "Value": "1"}],
            DryRun=True,
        )
        codes.append(answer.code if isinstance(answer, Refused) else "accepted")
    wanted = ["DryRunOperation", "UnauthorizedOperation", "UnauthorizedOperation"]
    text = "the slot of an application node, its role, the slot of a load balancer: "
    return judged(codes == wanted, text + ", ".join(codes))


@observes("master-secret-tag")
def _master_secret_tag(view: View) -> Seen:
    database = view.stack().database
    secret = database.master_secret if database else ""
    found = view.owner.call(
        "secretsmanager", "describe_secret", "the master's secret", SecretId=secret
    )
    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
    arn = tags.get("aws:rds:primaryDBInstanceArn", "")
    return judged(
        arn.endswith(f":{database.identifier if database else '-'}"), f"{tags}"
    )


# --- The template


@observes("rules")
def _rules(view: View) -> Seen:
    status = resources(view.owner, view.maker.stack_id)
    return Verdict.SEEN, f"the stack was created, with {len(status)} resources"


@observes("client-networks")
def _client_networks(view: View) -> Seen:
    text = view.notes.get("update", "")
    return judged(view.notes.get("update failed") == "0", text)


@observes("launch-template-version")
def _launch_template_version(view: View) -> Seen:
    now = view.names()
    same = {n: i for n, i in view.instances.items() if now.get(n) == i}
    return judged(same == view.instances, f"{len(same)} of {len(now)} instances stayed")


@observes("group-launches-another")
def _group_launches_another(view: View) -> Seen:
    seconds = view.launched.get("load balancer")
    if seconds is None:
        return Verdict.UNCLEAR, "none was terminated"
    return judged(seconds < 600, f"{seconds:.0f} s after the termination")


@observes("second-group-later")
def _second_group_later(view: View) -> Seen:
    first, second = view.balancers()
    text = (
        f"{first.name} was launched at {first.launched_at.isoformat()}, {second.name} "
        f"at {second.launched_at.isoformat()}"
    )
    names = [_name_tag(view, node) for node in (first, second)]
    return judged(names == ["lb-1", "lb-2"], text)


def _name_tag(view: View, node: Node) -> str:
    filters = [
        {"Name": "resource-id", "Values": [node.instance_id]},
        {"Name": "key", "Values": ["Name"]},
    ]
    tags = view.owner.read("ec2", "describe_tags", "Tags", node.name, Filters=filters)
    return "".join(tag["Value"] for tag in tags)


@observes("elastic-ip-retained")
def _elastic_ip_retained(view: View) -> Seen:
    kept = view.notes.get("elastic ip", "")
    return judged(kept == "kept", f"when the stack was deleted: {kept or 'not looked'}")


@observes("image-resolved")
def _image_resolved(view: View) -> Seen:
    answers = [_debian(view, processor) for processor in ("amd64", "arm64")]
    known = [a["Parameter"]["Value"] for a in answers if not isinstance(a, Refused)]
    if not known:
        return Verdict.UNCLEAR, str(answers[0])
    ids = [node.instance_id for node in view.stack().nodes]
    answer = view.owner.call("ec2", "describe_instances", "images", InstanceIds=ids)
    images = {i["ImageId"] for r in answer["Reservations"] for i in r["Instances"]}
    return judged(images <= set(known), f"{known}, and instances have {sorted(images)}")


@observes("debian-for-arm")
def _debian_for_arm(view: View) -> Seen:
    found = _debian(view, "arm64")
    if isinstance(found, Refused):
        absent = found.code == "ParameterNotFound" and not isinstance(
            _debian(view, "amd64"), Refused
        )
        return (Verdict.DIFFERS if absent else Verdict.UNCLEAR), str(found)
    return Verdict.SEEN, f"it is {found['Parameter']['Value']}"


def _debian(view: View, processor: str) -> Any:
    name = f"/aws/service/debian/release/13/latest/{processor}"
    return view.owner.probe("ssm", "get_parameter", Name=name)


@observes("newest-goes")
def _newest_goes(view: View) -> Seen:
    text = view.notes.get("shrink text", "not seen")
    if "shrink" not in view.notes:
        return Verdict.UNCLEAR, text
    return judged(view.notes["shrink"] == "newest", text)


@observes("endpoint-name")
def _endpoint_name(view: View) -> Seen:
    """The standby may have no public address now, and asks EC2 all the same."""
    holder = view.holder()
    standby = next(n for n in view.balancers() if n != holder)
    began = time.monotonic()
    _on_node(view, standby, "portway-address permissions")
    taken = time.monotonic() - began
    return Verdict.SEEN, f"{standby.name} has asked EC2 ({taken:.0f} s with the login)"


# --- Instances


@observes("console-host-keys")
def _console_host_keys(view: View) -> Seen:
    texts = _consoles(view)
    shown = {name: len(keys_on_console(text)) for name, text in texts.items()}
    return judged(all(shown.values()), f"host keys on the consoles: {shown}")


@observes("console-latest")
def _console_latest(view: View) -> Seen:
    texts = _consoles(view)
    shown = [has_finished(t) or bool(keys_on_console(t)) for t in texts.values()]
    seconds = view.launched.get("consoles")
    since = f", all known {seconds:.0f} s after the last launch" if seconds else ""
    return judged(all(shown), f"{len(texts)} consoles shown{since}")


def _consoles(view: View) -> Mapping[str, str]:
    found = {}
    for node in view.stack().nodes:
        answer = view.owner.call(
            "ec2",
            "get_console_output",
            f"the console of {node.name}",
            InstanceId=node.instance_id,
            Latest=True,
        )
        text = str(answer.get("Output") or "")
        # boto3 decodes it, as the AWS command line does.
        found[node.name] = text if "\n" in text else _decoded(text)
    return found


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return text


def _tunnel(view: View) -> Seen:
    seconds = view.launched.get("first deploy", 0)
    text = f"all nodes were reached through it; the first deploy took {seconds:.0f} s"
    return Verdict.SEEN, f"{text} (no tunnel was held for an hour)"


for _key in ("tunnel", "tunnel-source"):
    observes(_key)(_tunnel)


@observes("ssh-in-time")
def _ssh_in_time(view: View) -> Seen:
    seconds = view.launched.get("ssh")
    if seconds is None:
        return Verdict.UNCLEAR, "no instance was launched in place of another"
    text = f"a login {seconds:.0f} s after its launch"
    keys = view.launched.get("ssh host keys", 0)
    if seconds >= SSH_SECONDS and keys >= SSH_SECONDS:
        return Verdict.UNCLEAR, f"{text}; its host keys were known after {keys:.0f} s"
    return judged(seconds < SSH_SECONDS, text)


@observes("image-login")
def _image_login(view: View) -> Seen:
    node = view.balancers()[0]
    test = "id -un; test -S /run/haproxy-master.sock && echo has the master socket"
    output = _on_node(view, node, test)
    return judged("has the master socket" in output, "login, sudo and the socket work")


@observes("vrrp")
def _vrrp(view: View) -> Seen:
    """A pair that does not hear each other has two masters."""
    said = {}
    for node in view.balancers():
        output = view.deploys.on_node(node.name, "portway-address status").output
        said[node.name] = "yes" if _is_master(output) else "no"
    return judged(sorted(said.values()) == ["no", "yes"], f"VRRP masters: {said}")


def _is_master(output: str) -> bool:
    return re.search("VRRP master since", output, re.IGNORECASE) is not None


@observes("routed-packets")
def _routed_packets(view: View) -> Seen:
    traffic = view.client().measured(0.0)
    return judged(traffic.acknowledged > 0, f"{traffic.acknowledged} acknowledgements")


# --- The database


@observes("young-database")
def _young_database(view: View) -> Seen:
    young = [d for d in view.databases if d["status"] == "creating"]
    if not young:
        return Verdict.UNCLEAR, f"never seen while it was created: {view.databases}"
    return judged(not young[0]["endpoint"], f"one after the other: {view.databases}")


@observes("master-user")
def _master_user(view: View) -> Seen:
    text = view.notes.get("rotation", "")
    return judged(
        view.notes.get("rotated") == "yes", f"postgres, by a rotation: {text}"
    )
