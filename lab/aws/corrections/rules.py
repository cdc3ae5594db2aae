"""What a template says of a security group's rules, as moto's own rules."""

from collections.abc import Iterable, Iterator
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ec2.models.security_groups import (
    SecurityGroup,
    SecurityGroupIngress,
    SecurityGroupRule,
)

Properties = dict[str, Any]

INGRESS, EGRESS = "SecurityGroupIngress", "SecurityGroupEgress"

_group: Any = SecurityGroup
_ingress: Any = SecurityGroupIngress
_rule: Any = SecurityGroupRule


def security_groups_have_all_of_their_rules() -> None:
    """Moto's CloudFormation ignores a group's egress, and descriptions of its rules.

    It also makes a new group when the rules in it change, and cannot delete the old.
    """
    create_group = _group.create_from_cloudformation_json

    def create(
        _: Any, /, name: str, resource: Properties, *args: Any, **kw: Any
    ) -> Any:
        given = resource["Properties"]
        plain = {k: v for k, v in given.items() if k != INGRESS}
        group = create_group(name, resource | {"Properties": plain}, *args, **kw)
        return _with_rules(group, given)

    def update(_: Any, /, **kwargs: Any) -> Any:
        group = kwargs["original_resource"]
        given = kwargs["cloudformation_json"]["Properties"]
        return _with_rules(group, {INGRESS: []} | given)

    _group.create_from_cloudformation_json = classmethod(create)
    _group.update_from_cloudformation_json = classmethod(update)


def rules_are_resources_by_their_ids() -> None:
    """Moto's CloudFormation has no id for a rule that is a resource of its own.

    Nor a description, which moto tells only of rules for networks.
    """
    _rule.description = property(
        lambda rule: (rule.ip_range | rule.source_group).get("Description")
    )
    create_rule = _ingress.create_from_cloudformation_json

    def create(_: Any, /, name: str, given: Properties, *args: Any, **kw: Any) -> Any:
        resource = create_rule(name, given, *args, **kw)
        rule = resource.security_group.ingress_rules[-1]
        resource.physical_resource_id = rule.id
        if text := given["Properties"].get("Description"):
            for peer in (rule.ip_range, rule.source_group):
                if peer:
                    peer["Description"] = text
        return resource

    _ingress.create_from_cloudformation_json = classmethod(create)


def _with_rules(group: Any, given: Properties) -> Any:
    if INGRESS in given:
        group.ingress_rules = list(_rules(group, given[INGRESS], is_egress=False))
    if EGRESS in given:
        group.egress_rules = list(_rules(group, given[EGRESS], is_egress=True))
    return group


def _rules(
    group: Any, given: Iterable[Properties], *, is_egress: bool
) -> Iterator[Any]:
    side = "Destination" if is_egress else "Source"
    for rule in given:
        words = {k: v for k, v in rule.items() if k == "Description"}
        peer = rule.get(f"{side}SecurityGroupId")
        prefixes = rule.get(f"{side}PrefixListId")
        yield SecurityGroupRule(
            group.ec2_backend,
            str(rule["IpProtocol"]),
            group.id,
            rule.get("FromPort"),
            rule.get("ToPort"),
            words | {"CidrIp": rule["CidrIp"]} if "CidrIp" in rule else None,
            words | {"GroupId": peer, "OwnerId": group.owner_id} if peer else None,
            {"PrefixListId": prefixes} if prefixes else None,
            is_egress=is_egress,
        )


def as_template(rule: Any) -> Properties:
    """A rule of moto's as a template would have it."""
    side = "Destination" if rule.is_egress else "Source"
    found = {
        "IpProtocol": rule.ip_protocol,
        "FromPort": rule.from_port,
        "ToPort": rule.to_port,
        "CidrIp": rule.ip_range.get("CidrIp"),
        "CidrIpv6": rule.ip_range.get("CidrIpv6"),
        "Description": (rule.ip_range | rule.source_group).get("Description"),
        f"{side}SecurityGroupId": rule.source_group.get("GroupId"),
        f"{side}PrefixListId": rule.prefix_list_id,
    }
    return {key: value for key, value in found.items() if value is not None}


def group_with(id_: str, account: str, region: str) -> Any:
    """A security group by its id; None if there is none."""
    return ec2_backends[account][region].get_security_group_from_id(id_)
