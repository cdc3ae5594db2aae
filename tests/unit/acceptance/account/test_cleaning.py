"""What a stack's deletion waits for, or leaves, is deleted too."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from acceptance.account import cleaning
from acceptance.account.calls import Caller, Refused
from acceptance.account.cleaning import Cleaner
from acceptance.account.identity import TAG
from acceptance.account.journal import Journal, Kind, State
from acceptance.terminal import waiting
from portway.errors import PortwayError

RUN = "1111111111"
STACK_ID = "arn:stack/trial"
TAGS = [{"Key": TAG, "Value": RUN}]
IP = "203.0.113.9"
Answering = Callable[..., Any]


class Aws:
    """AWS with a stack whose deletion does not end before its database is gone."""

    def __init__(self) -> None:
        self.stack = "CREATE_IN_PROGRESS"
        self.database: str | None = "creating"
        self.refused = 2
        """How often RDS does not delete the database yet."""
        self.role_looks = 0
        self.addresses: list[dict[str, Any]] = []
        self.listed: dict[str, tuple[str, str]] = {"Database": ("db", "")}
        self.calls: list[str] = []

    def call(self, service: str, operation: str, *_: str, **given: Any) -> Any:
        found = self.probe(service, operation, **given)
        if isinstance(found, Refused):
            raise PortwayError(str(found))
        return found

    def read(
        self, service: str, operation: str, key: str, *_: str, **given: Any
    ) -> Any:
        return self.call(service, operation, **given)[key]

    def probe(self, service: str, operation: str, **given: Any) -> Any:
        self.calls.append(operation)
        answer: Answering = getattr(self, f"_{operation}", lambda **_: {})
        return answer(**given)

    def forget(self) -> None:
        pass

    def _describe_stacks(self, **_: Any) -> Any:
        if self.stack == "DELETE_IN_PROGRESS" and self.database is None:
            self.stack = "DELETE_COMPLETE"
        one = {"StackId": STACK_ID, "StackStatus": self.stack, "Tags": TAGS}
        return {"Stacks": [one]}

    def _delete_stack(self, **_: Any) -> Any:
        self.stack = "DELETE_IN_PROGRESS"
        return {}

    def _describe_stack_resources(self, **_: Any) -> Any:
        return {
            "StackResources": [
                {
                    "LogicalResourceId": name,
                    "PhysicalResourceId": id_,
                    "ResourceStatus": status or self.stack,
                }
                for name, (id_, status) in self.listed.items()
            ]
        }

    def _describe_db_instances(self, **_: Any) -> Any:
        if self.database is None:
            return Refused("DBInstanceNotFound", "")
        one = {"DBInstanceStatus": self.database, "DbiResourceId": "db-ABC"}
        return {"DBInstances": [one]}

    def _delete_db_instance(self, **given: Any) -> Any:
        assert given == {"DBInstanceIdentifier": "db", "SkipFinalSnapshot": True}
        self.refused -= 1
        if self.refused >= 0:
            return Refused("InvalidDBInstanceState", "it is being created")
        self.database = None
        return {}

    def _describe_db_snapshots(self, **_: Any) -> Any:
        return {"DBSnapshots": []}

    def _describe_addresses(self, **_: Any) -> Any:
        return {"Addresses": self.addresses}

    def _release_address(self, **_: Any) -> Any:
        self.addresses = []
        return {}

    def _get_role(self, **_: Any) -> Any:
        self.role_looks += 1
        if self.role_looks == 1 or "delete_role" in self.calls:
            return Refused("NoSuchEntity", "IAM does not know it everywhere yet")
        return {"Role": {"Tags": TAGS}}

    def _list_attached_role_policies(self, **_: Any) -> Any:
        return {"AttachedPolicies": []}

    def _list_role_policies(self, **_: Any) -> Any:
        return {"PolicyNames": []}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SHORTEST", 0.001)
    monkeypatch.setattr(cleaning, "PAUSES", ())
    monkeypatch.setattr(cleaning, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(cleaning, "DATABASE_SECONDS", 0.01)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(Kind.RUN, RUN, State.MADE, "trial")
    return journal


def cleaned(aws: Aws, journal: Journal) -> Cleaner:
    cleaner = Cleaner(cast(Caller, aws), journal, RUN)
    cleaner.clean()
    return cleaner


def test_database_that_the_stack_waits_for_is_deleted_as_soon_as_rds_does_it(
    journal: Journal,
) -> None:
    journal.write(Kind.STACK, "trial", State.MADE, STACK_ID)
    aws = Aws()
    assert cleaned(aws, journal).problems == []
    assert aws.calls.count("delete_db_instance") == 3
    assert journal.run() is None


def test_database_is_left_to_cloudformation_while_it_deletes_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write(Kind.STACK, "trial", State.MADE, STACK_ID)
    monkeypatch.setattr(cleaning, "DELETE_SECONDS", 0.05)
    aws = Aws()
    aws.database = "deleting"
    assert cleaned(aws, journal).problems != []
    assert "delete_db_instance" not in aws.calls


def test_database_is_deleted_though_its_stack_cannot_be(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write(Kind.STACK, "trial", State.MADE, STACK_ID)
    aws = Aws()

    def fail(**_: Any) -> Any:
        aws.stack = "DELETE_FAILED"
        return {}

    monkeypatch.setattr(aws, "_delete_stack", fail)
    monkeypatch.setattr(
        aws, "_describe_stack_events", lambda **_: {"StackEvents": []}, raising=False
    )
    (problem,) = cleaned(aws, journal).problems
    assert "CloudFormation cannot delete stack trial" in problem
    assert aws.database is None


def test_elastic_ip_that_was_not_known_before_is_released(journal: Journal) -> None:
    """It could not be asked for, or was made, when the deletion began."""
    journal.write(Kind.STACK, "trial", State.MADE, STACK_ID)
    aws = Aws()
    aws.stack, aws.database = "DELETE_COMPLETE", None
    aws.listed = {"ElasticIp": (IP, "DELETE_SKIPPED")}
    tags = [{"Key": "portway:stack", "Value": "trial"}]
    aws.addresses = [{"AllocationId": "eipalloc-1", "Tags": tags}]
    assert cleaned(aws, journal).problems == []
    assert "release_address" in aws.calls


def test_elastic_ip_that_is_listed_and_not_found_is_a_problem(journal: Journal) -> None:
    journal.write(Kind.STACK, "trial", State.MADE, STACK_ID)
    aws = Aws()
    aws.stack, aws.database = "DELETE_COMPLETE", None
    aws.listed = {"ElasticIp": (IP, "DELETE_SKIPPED")}
    (problem,) = cleaned(aws, journal).problems
    assert re.search(rf"Elastic IP {IP} was not found", problem)
    assert journal.run() is not None


def test_role_is_not_taken_for_gone_because_aws_cannot_be_asked(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write(Kind.ROLE, "role", State.PLANNED)
    monkeypatch.setattr(cleaning, "APPEAR_SECONDS", 0.01)
    aws = Aws()

    def fail(**_: Any) -> Any:
        aws.role_looks += 1
        if aws.role_looks == 1:
            return Refused("NoSuchEntity", "")
        raise PortwayError("iam:GetRole did not reach AWS")

    monkeypatch.setattr(aws, "_get_role", fail)
    (problem,) = cleaned(aws, journal).problems
    assert "did not reach AWS" in problem
    assert [entry.name for entry in journal.left(Kind.ROLE)] == ["role"]


def test_elastic_ip_that_is_late_is_no_problem_in_the_end(journal: Journal) -> None:
    journal.write(Kind.STACK, "trial", State.MADE, STACK_ID)
    aws = Aws()
    aws.stack, aws.database = "CREATE_COMPLETE", None
    aws.listed = {"ElasticIp": (IP, "DELETE_SKIPPED")}
    tags = [{"Key": "portway:stack", "Value": "trial"}]
    delete = aws._delete_stack

    def appear(**given: Any) -> Any:
        aws.addresses = [{"AllocationId": "eipalloc-1", "Tags": tags}]
        return delete(**given)

    aws._delete_stack = appear  # type: ignore[method-assign]
    assert cleaned(aws, journal).problems == []
    assert "release_address" in aws.calls


def test_role_that_iam_does_not_know_yet_is_looked_for_again(journal: Journal) -> None:
    journal.write(Kind.ROLE, "role", State.MADE, "arn:role")
    aws = Aws()
    assert cleaned(aws, journal).deleted == ["role role"]
    assert "delete_role" in aws.calls
