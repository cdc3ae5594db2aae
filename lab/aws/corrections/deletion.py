"""What becomes of a stack's resources when the stack, or one of them, is deleted."""

from typing import Any

from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.parsing import ResourceMap
from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.ec2.models.route_tables import RouteTable
from moto.ec2.models.vpcs import VPCEndPoint
from moto.iam.exceptions import DeleteConflictException
from moto.iam.models import ManagedPolicy, iam_backends
from moto.rds.models import DBInstance, RDSBackend, rds_backends

from lab.aws.corrections.network import remove_database

_map: Any = ResourceMap
_rds: Any = RDSBackend
_formation: Any = CloudFormationBackend

DELETE_FAILED = "DELETE_FAILED"


def route_tables_leave_with_their_stack() -> None:
    """Moto's CloudFormation keeps a stack's route tables, and so the VPC as well."""

    def delete(_: Any, name: str, __: Any, account: str, region: str) -> None:
        backend = ec2_backends[account][region]
        # AWS deletes the associations first; moto does not delete them either.
        backend.get_route_table(name)._associations.clear()
        backend.delete_route_table(name)

    model: Any = RouteTable
    model.delete_from_cloudformation_json = classmethod(delete)


def endpoints_leave_with_their_stack() -> None:
    """Moto's CloudFormation keeps a stack's VPC endpoints and their interfaces."""

    def delete(_: Any, name: str, __: Any, account: str, region: str) -> None:
        ec2_backends[account][region].delete_vpc_endpoints([name])

    model: Any = VPCEndPoint
    model.delete_from_cloudformation_json = classmethod(delete)


def managed_policies_leave_with_their_stack() -> None:
    """Moto's CloudFormation keeps a stack's managed policies.

    AWS deletes them, and cannot while they are attached to anybody.
    """

    def delete(_: Any, name: str, __: Any, account: str, ___: str) -> None:
        policies: Any = iam_backends[account]["aws"].managed_policies
        if policies[name].attachment_count:
            raise DeleteConflictException(
                "Cannot delete a policy attached to entities."
            )
        del policies[name]

    model: Any = ManagedPolicy
    model.delete_from_cloudformation_json = classmethod(delete)


def elastic_ips_outlive_their_stack() -> None:
    """Moto knows the policy Retain, but not RetainExceptOnCreate."""
    original = _map.delete

    def delete(self: Any) -> None:
        for resource in self._resource_json_map.values():
            if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
                resource["DeletionPolicy"] = "Retain"
        original(self)

    _map.delete = delete


def databases_leave_a_snapshot() -> None:
    """Moto knows the policy Snapshot, but makes none when a stack is deleted.

    It also fails on a database that somebody has deleted already.
    """
    original = _map._delete_resource

    def delete(self: Any, resource: Any, description: dict[str, Any]) -> None:
        if isinstance(resource, DBInstance):
            backend: Any = rds_backends[self._account_id][self._region_name]
            name = resource.db_instance_identifier
            if name not in backend.databases:
                return
            kept = description.get("DeletionPolicy") == "Snapshot"
            if kept and not resource.deletion_protection:
                backend.create_db_snapshot(name, f"{name}-snapshot-{len(name)}")
        original(self, resource, description)

    _map._delete_resource = delete


def failed_deletions_leave_their_stack() -> None:
    """Moto answers with what keeps a stack from being deleted, and forgets the stack.

    In AWS the call succeeds, and the stack stays, says why, and can be deleted again.
    """
    original = _formation.delete_stack

    def delete_stack(self: Any, name_or_stack_id: str) -> None:
        before = self.stacks.get(name_or_stack_id)
        try:
            original(self, name_or_stack_id)
        except ServiceException as error:
            if before is None:
                raise
            self.stacks[before.stack_id] = before
            before.status = DELETE_FAILED
            before._add_stack_event(
                DELETE_FAILED, resource_status_reason=str(error.message)
            )

    _formation.delete_stack = delete_stack


def deleted_databases_have_no_interface() -> None:
    """Moto does not know the interface that was made for a database."""
    original = _rds.delete_db_instance

    def delete(self: Any, db_instance_identifier: str, *args: Any, **kw: Any) -> Any:
        database = original(self, db_instance_identifier, *args, **kw)
        backend = ec2_backends[self.account_id][self.region_name]
        remove_database(backend, db_instance_identifier)
        return database

    _rds.delete_db_instance = delete
