"""What CloudFormation and the groups made of the template."""

import time
from collections.abc import Mapping
from typing import Any

from acceptance.account.calls import Refused
from acceptance.account.stack import resources
from acceptance.findings.verdict import Observer, Seen, Verdict, judged, on_node
from acceptance.parts.view import View
from portway.model.stack import Node


def _rules(view: View) -> Seen:
    status = resources(view.owner, view.maker.stack_id)
    return Verdict.SEEN, f"the stack was created, with {len(status)} resources"


def _client_networks(view: View) -> Seen:
    text = view.notes.get("update", "")
    return judged(view.notes.get("update failed") == "0", text)


def _launch_template_version(view: View) -> Seen:
    now = view.names()
    same = {n: i for n, i in view.instances.items() if now.get(n) == i}
    return judged(same == view.instances, f"{len(same)} of {len(now)} instances stayed")


def _group_launches_another(view: View) -> Seen:
    seconds = view.launched.get("load balancer")
    if seconds is None:
        return Verdict.UNCLEAR, "none was terminated"
    return judged(seconds < 600, f"{seconds:.0f} s after the termination")


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


def _elastic_ip_retained(view: View) -> Seen:
    kept = view.notes.get("elastic ip", "")
    return judged(kept == "kept", f"when the stack was deleted: {kept or 'not looked'}")


def _image_resolved(view: View) -> Seen:
    answers = [_debian(view, processor) for processor in ("amd64", "arm64")]
    known = [a["Parameter"]["Value"] for a in answers if not isinstance(a, Refused)]
    if not known:
        return Verdict.UNCLEAR, str(answers[0])
    ids = [node.instance_id for node in view.stack().nodes]
    answer = view.owner.call("ec2", "describe_instances", "images", InstanceIds=ids)
    images = {i["ImageId"] for r in answer["Reservations"] for i in r["Instances"]}
    return judged(images <= set(known), f"{known}, and instances have {sorted(images)}")


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


def _newest_goes(view: View) -> Seen:
    text = view.notes.get("shrink text", "not seen")
    if "shrink" not in view.notes:
        return Verdict.UNCLEAR, text
    return judged(view.notes["shrink"] == "newest", text)


def _endpoint_name(view: View) -> Seen:
    """The standby may have no public address now, and asks EC2 all the same."""
    holder = view.holder()
    standby = next(n for n in view.balancers() if n != holder)
    began = time.monotonic()
    on_node(view, standby, "portway-address permissions")
    taken = time.monotonic() - began
    return Verdict.SEEN, f"{standby.name} has asked EC2 ({taken:.0f} s with the login)"


OBSERVERS: Mapping[str, Observer] = {
    "rules": _rules,
    "client-networks": _client_networks,
    "launch-template-version": _launch_template_version,
    "group-launches-another": _group_launches_another,
    "second-group-later": _second_group_later,
    "elastic-ip-retained": _elastic_ip_retained,
    "image-resolved": _image_resolved,
    "debian-for-arm": _debian_for_arm,
    "newest-goes": _newest_goes,
    "endpoint-name": _endpoint_name,
}
