"""Where moto differs from AWS, and what makes it the same: one list, ``CORRECTIONS``.

They change moto inside the process that serves it, and must not be imported anywhere
else. A correction is a function whose docstring says what moto does.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lab.aws.corrections import (
    addresses,
    change_sets,
    cloudformation,
    conditions,
    databases,
    deletion,
    lifecycle,
    network,
    rules,
    speed,
    stack_drift,
)


@dataclass(frozen=True, slots=True)
class Correction:
    """One difference between moto and AWS."""

    apply: Callable[[], None]
    hosts_only: bool = False
    """Whether only a moto whose instances are hosts needs it."""

    @property
    def name(self) -> str:
        """What is so afterwards."""
        return self.apply.__name__


CORRECTIONS = (
    Correction(speed.templates_are_read_by_libyaml),
    Correction(speed.kms_keys_share_a_private_key),
    Correction(speed.no_images_are_listed),
    Correction(cloudformation.large_templates_are_refused),
    Correction(cloudformation.secrets_can_be_in_a_stack),
    Correction(cloudformation.database_versions_are_recent),
    Correction(cloudformation.instances_keep_their_properties),
    Correction(cloudformation.elastic_ips_keep_their_tags),
    Correction(cloudformation.databases_keep_their_properties),
    Correction(databases.databases_are_updated_in_place),
    Correction(rules.security_groups_have_all_of_their_rules),
    Correction(rules.rules_are_resources_by_their_ids),
    Correction(cloudformation.groups_are_updated_in_place),
    Correction(cloudformation.managed_policies_are_updated_in_place),
    Correction(cloudformation.groups_launch_what_their_template_says),
    Correction(cloudformation.no_value_leaves_lists),
    Correction(cloudformation.parameters_are_seen_in_texts),
    Correction(conditions.updates_follow_conditions),
    Correction(conditions.groups_follow_their_launch_template),
    Correction(lifecycle.groups_wait_before_they_terminate),
    Correction(change_sets.change_sets_do_what_calls_do),
    Correction(stack_drift.stacks_tell_their_drift),
    Correction(deletion.route_tables_leave_with_their_stack),
    Correction(deletion.endpoints_leave_with_their_stack),
    Correction(deletion.managed_policies_leave_with_their_stack),
    Correction(deletion.elastic_ips_outlive_their_stack),
    Correction(deletion.databases_leave_a_snapshot),
    Correction(deletion.failed_deletions_leave_their_stack),
    Correction(addresses.elastic_ip_leaves_its_old_interface),
    Correction(addresses.elastic_ip_goes_to_the_only_interface),
    Correction(addresses.private_address_has_one_interface),
    Correction(addresses.terminated_instances_let_go),
    Correction(addresses.secondary_addresses_are_found),
    Correction(addresses.source_check_is_the_interfaces),
    Correction(addresses.routes_to_interfaces_are_checked),
    Correction(addresses.routes_follow_their_interface),
    Correction(addresses.dry_runs_do_nothing),
    Correction(network.public_addresses_can_be_routed, hosts_only=True),
    Correction(network.subnets_keep_their_setting, hosts_only=True),
    Correction(network.instances_follow_their_subnet, hosts_only=True),
    Correction(network.subnets_get_their_route_table, hosts_only=True),
    Correction(network.databases_have_an_interface, hosts_only=True),
    Correction(deletion.deleted_databases_have_no_interface, hosts_only=True),
)
"""In the order in which they are applied: later ones wrap what earlier ones did."""

_applied: set[str] = set()


def correct(region: str, *, hosts: bool = True) -> None:
    """Apply every correction once per process, before moto answers its first request.

    The region is where the stack will be. Without ``hosts``, those that only hosts
    need are left out.
    """
    cloudformation.zones_are_those_of(region)
    for correction in CORRECTIONS:
        if correction.name in _applied or (correction.hosts_only and not hosts):
            continue
        _applied.add(correction.name)
        correction.apply()
