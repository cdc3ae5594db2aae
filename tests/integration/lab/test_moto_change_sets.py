"""A stack that ``aws cloudformation deploy`` makes is as one that a call makes."""

from typing import Any

from tests.integration.conftest import REGION, STACK, TEMPLATE, Account

CREATED = {
    "OperatorCidr": "10.8.0.0/16",
    "ZoneA": f"{REGION}a",
    "ZoneB": f"{REGION}b",
    "LoadBalancersAs": "groups",
}


def test_stack_of_a_change_set_has_what_a_call_makes(account: Account) -> None:
    account.client("ec2").create_key_pair(KeyName="mine")

    deploy(account, "CREATE", CREATED | {"KeyName": "mine"})

    (database,) = account.client("rds").describe_db_instances()["DBInstances"]
    assert account.outputs()["DatabaseIdentifier"] == database["DBInstanceIdentifier"]
    assert {instance["KeyName"] for instance in instances(account)} == {"mine"}
    assert len(instances(account)) == 4
    assert "Database" in resources(account)
    assert "LoadBalancer1" not in resources(account)  # its condition does not hold
    assert described(account)["StackStatus"] == "CREATE_COMPLETE"


def test_change_set_changes_only_what_it_is_asked_for(account: Account) -> None:
    deploy(account, "CREATE", CREATED)
    before = account.outputs(), resources(account)

    deploy(account, "UPDATE", {"DatabaseDeletionProtection": "true"})

    (database,) = account.client("rds").describe_db_instances()["DBInstances"]
    assert database["DeletionProtection"] is True
    assert (account.outputs(), resources(account)) == before
    assert described(account)["StackStatus"] == "UPDATE_COMPLETE"


def test_change_set_without_a_change_says_so(account: Account) -> None:
    deploy(account, "CREATE", CREATED)

    answer = make(account, "UPDATE", {})

    assert answer["Status"] == "FAILED"
    assert "didn't contain changes" in answer["StatusReason"]


def deploy(account: Account, kind: str, given: dict[str, str]) -> None:
    """Do what the AWS CLI's command does."""
    answer = make(account, kind, given)
    assert answer["Status"] == "CREATE_COMPLETE", answer
    account.client("cloudformation").execute_change_set(
        ChangeSetName=answer["ChangeSetId"], StackName=STACK
    )
    account.aws.forget()


def make(account: Account, kind: str, given: dict[str, str]) -> dict[str, Any]:
    formation = account.client("cloudformation")
    template = TEMPLATE.read_text()
    parameters: list[dict[str, Any]] = [
        {"ParameterKey": k, "ParameterValue": v} for k, v in given.items()
    ]
    if kind == "UPDATE":  # the command lets every other parameter be as it was
        parameters += [
            {"ParameterKey": p["ParameterKey"], "UsePreviousValue": True}
            for p in described(account)["Parameters"]
            if p["ParameterKey"] not in given
        ]
    made = formation.create_change_set(
        StackName=STACK,
        ChangeSetName="a-change",
        ChangeSetType=kind,
        TemplateBody=template,
        Parameters=parameters,
        Capabilities=["CAPABILITY_IAM"],
    )
    return dict(formation.describe_change_set(ChangeSetName=made["Id"]))


def described(account: Account) -> dict[str, Any]:
    formation = account.client("cloudformation")
    return dict(formation.describe_stacks(StackName=STACK)["Stacks"][0])


def resources(account: Account) -> dict[str, str]:
    """The physical ids of the stack's resources, by their names in the template."""
    pages = account.client("cloudformation").get_paginator("list_stack_resources")
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages.paginate(StackName=STACK)
        for resource in page["StackResourceSummaries"]
        if resource["LogicalResourceId"]
    }


def instances(account: Account) -> list[dict[str, Any]]:
    return account.instances("load-balancer") + account.instances("application")
