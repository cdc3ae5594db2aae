"""What nodes and the operator may do, and may not."""

from collections.abc import Mapping
from typing import Any

from acceptance.account.calls import Refused
from acceptance.findings.verdict import Observer, Seen, Verdict, judged, on_node
from acceptance.parts.view import View
from portway.model.stack import Role

SLOT_TAG = "portway:slot"


def _nodes_may_move(view: View) -> Seen:
    """Each load balancer tries its own calls with DryRun."""
    nodes = view.balancers()
    for node in nodes:  # its status is checked
        on_node(view, node, "portway-address permissions")
    names = " and ".join(node.name for node in nodes)
    return Verdict.SEEN, f"{names} may make the calls"


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


OBSERVERS: Mapping[str, Observer] = {
    "associate-address-judged": _nodes_may_move,
    "route-table-key": _nodes_may_move,
    "interface-tags": _interface_tags,
    "source-check-key": _source_check_key,
    "create-tags-judged": _create_tags_judged,
    "master-secret-tag": _master_secret_tag,
}
