"""What the deletion of a stack leaves, written down while CloudFormation knows it."""

from acceptance.account.calls import Caller, Refused
from acceptance.account.journal import Journal, Kind, State
from acceptance.account.stack import describe_stack, resources
from portway.errors import PortwayError


def remember_what_stays(caller: Caller, journal: Journal, stack_id: str) -> None:
    """Write down what of a stack its deletion leaves, as far as it is there by now.

    It may have been deleted meanwhile: CloudFormation still answers for its id.
    """
    listed = resources(caller, stack_id)
    found = {
        name: resource["PhysicalResourceId"]
        for name, resource in listed.items()
        if resource.get("PhysicalResourceId")
    }
    known = journal.latest()
    if database := found.get("Database"):
        before = known.get((Kind.DATABASE, database))
        id_ = "" if before and before.id else _resource_id(caller, database)
        if before is None or id_:
            journal.write(Kind.DATABASE, database, State.MADE, id_)
    ip = found.get("ElasticIp")
    if (
        ip
        and (Kind.ADDRESS, ip) not in known
        and listed["ElasticIp"].get("ResourceStatus") != "DELETE_COMPLETE"
    ):
        _remember_address(caller, journal, ip)
    described = describe_stack(caller, stack_id) or {}
    given = {
        p["ParameterKey"]: p["ParameterValue"] for p in described.get("Parameters", [])
    }
    if given.get("AddressKind") == "route" and given.get("VirtualAddress"):
        for logical in ("RouteTableA", "RouteTableB"):
            table = found.get(logical)
            if table and (Kind.ROUTE, table) not in known:
                destination = f"{given['VirtualAddress']}/32"
                journal.write(
                    Kind.ROUTE, table, State.MADE, table, destination=destination
                )


def _remember_address(caller: Caller, journal: Journal, ip: str) -> None:
    filters = [{"Name": "public-ip", "Values": [ip]}]
    about = "the Elastic IP"
    found = caller.read(
        "ec2", "describe_addresses", "Addresses", about, Filters=filters
    )
    if not found:
        raise PortwayError(
            f"the stack's Elastic IP {ip} was not found",
            do="look whether it is in the account, and release it",
        )
    for address in found:
        journal.write(Kind.ADDRESS, ip, State.MADE, address["AllocationId"])


def _resource_id(caller: Caller, database: str) -> str:
    """What RDS calls a database for ever: no other gets this id."""
    found = caller.probe("rds", "describe_db_instances", DBInstanceIdentifier=database)
    if isinstance(found, Refused):
        return ""
    return str(found["DBInstances"][0].get("DbiResourceId", ""))
