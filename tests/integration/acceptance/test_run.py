"""A run against moto: what it makes, what it refuses, and that it leaves nothing."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from acceptance.account import cleaning
from acceptance.account.identity import TAG
from acceptance.account.journal import Journal, Kind, State
from acceptance.parts import order
from acceptance.parts.order import Part
from acceptance.parts.view import View
from acceptance.programs.sender import Sender
from acceptance.run.command import INTERRUPTED, main
from acceptance.terminal.interrupts import SIGNALS
from portway.errors import PortwayError
from tests.integration.aws_server import AwsServer
from tests.integration.conftest import REGION, STACK, Account

PROJECT = Path(__file__).parents[3]
NAME = "trial"
PAUSE = 123
REACHED = ("--operator-cidr", "10.8.0.0/16", "--data", "database_ca_file=README.md")
"""Nodes are reached without the AWS CLI, and no database: neither need be here."""


@pytest.fixture(autouse=True)
def region(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What AWS refuses here it refuses for good, or as a test says."""
    monkeypatch.setattr(cleaning, "PAUSES", (0.01,))
    monkeypatch.setattr(cleaning, "PAUSE_SECONDS", 0.01)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """What a run does with signals ends with it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch) -> list[View]:
    """The one part that runs have here: nothing is deployed, for there are no hosts."""
    views: list[View] = []

    def act(view: View) -> str:
        views.append(view)
        return "nothing"

    monkeypatch.setattr(order, "ALWAYS", {})
    monkeypatch.setattr(order, "PARTS", {"nothing": Part("nothing", act)})
    return views


def run(folder: Path, *more: str, name: str = NAME) -> int:
    given = ("--stack", name, "--yes", "--folder", str(folder))
    return main([*given, "--only", "nothing", *REACHED, *more])


def clean_up(folder: Path, name: str = NAME) -> int:
    return main(["--clean-up", name, "--folder", str(folder)])


def report(folder: Path) -> str:
    (path,) = (folder / NAME).glob("report-*.md")
    return path.read_text()


def there(account: Account) -> dict[str, list[str]]:
    """What is in the account that a run could have made."""

    def ids(service: str, call: str, key: str, id_: str, **given: Any) -> list[str]:
        answer = getattr(account.client(service), call)(**given)
        return sorted(str(item[id_]) for item in answer[key])

    live = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    reservations = account.client("ec2").describe_instances(Filters=live)
    return {
        "stacks": ids("cloudformation", "describe_stacks", "Stacks", "StackName"),
        "key pairs": ids("ec2", "describe_key_pairs", "KeyPairs", "KeyName"),
        "roles": ids("iam", "list_roles", "Roles", "RoleName"),
        "addresses": ids("ec2", "describe_addresses", "Addresses", "PublicIp"),
        "databases": ids(
            "rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier"
        ),
        "snapshots": ids(
            "rds", "describe_db_snapshots", "DBSnapshots", "DBSnapshotIdentifier"
        ),
        "instances": [
            i["InstanceId"]
            for r in reservations["Reservations"]
            for i in r["Instances"]
        ],
    }


@pytest.fixture
def before(account: Account) -> dict[str, list[str]]:
    """What somebody else has: names as like a run's as can be."""
    ec2, iam, rds = (account.client(s) for s in ("ec2", "iam", "rds"))
    ec2.create_key_pair(KeyName="portway-acceptance-0000000000")
    iam.create_role(
        RoleName="portway-acceptance-0000000000", AssumeRolePolicyDocument="{}"
    )
    for tags in (
        [{"Key": "portway:stack", "Value": NAME}],
        [{"Key": TAG, "Value": "0"}],
    ):
        specified = [{"ResourceType": "elastic-ip", "Tags": tags}]
        ec2.allocate_address(Domain="vpc", TagSpecifications=specified)
    rds.create_db_instance(
        DBInstanceIdentifier=f"{NAME}-database-0000",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        MasterUsername="somebody",
        MasterUserPassword="somebodys-own",
        AllocatedStorage=20,
    )
    rds.create_db_snapshot(
        DBInstanceIdentifier=f"{NAME}-database-0000",
        DBSnapshotIdentifier=f"{NAME}-database-snapshot-0000",
    )
    return there(account)


def test_run_makes_everything_and_deletes_it(
    account: Account, before: dict[str, list[str]], acted: list[View], tmp_path: Path
) -> None:
    made: dict[str, list[str]] = {}
    tags: list[Any] = []

    def look(view: View) -> str:
        made.update(there(account))
        formation = account.client("cloudformation")
        tags.extend(formation.describe_stacks(StackName=NAME)["Stacks"][0]["Tags"])
        return "looked"

    order.PARTS["nothing"] = Part("look", look)  # type: ignore[index]

    assert run(tmp_path) == 0, report(tmp_path)

    assert there(account) == before
    assert NAME in made["stacks"]
    assert len(made["key pairs"]) == len(before["key pairs"]) + 1
    assert len(made["instances"]) == 4
    assert TAG in [tag["Key"] for tag in tags]
    assert "All was as expected." in report(tmp_path)
    assert "123456789012" not in report(tmp_path)


def test_operator_is_a_role_with_the_stacks_policy_only(
    account: Account, acted: list[View], tmp_path: Path
) -> None:
    found: list[Any] = []

    def look(view: View) -> str:
        iam, role = account.client("iam"), view.maker.run.role_name
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        found.extend(policy["PolicyArn"] for policy in attached)
        found.append(view.maker.outputs["OperatorPolicyArn"])
        caller = view.operator.call("sts", "get_caller_identity", "a test")["Arn"]
        found.append(role in caller)
        environment = view.deploys.environment()
        found.append("AWS_SESSION_TOKEN" in environment)
        found.append(environment["HOME"] != os.environ["HOME"])
        return "looked"

    order.PARTS["nothing"] = Part("look", look)  # type: ignore[index]
    assert run(tmp_path) == 0, report(tmp_path)

    policy, output, *others = found
    assert policy == output
    assert others == [True, True, True]


def test_secrets_are_for_their_owner_and_gone_at_the_end(
    account: Account, acted: list[View], tmp_path: Path
) -> None:
    modes: list[int] = []

    def look(view: View) -> str:
        ssh = view.options.folder / "home" / ".ssh"
        modes.extend(p.stat().st_mode & 0o077 for p in (*ssh.iterdir(), ssh))
        modes.append(view.options.folder.stat().st_mode & 0o077)
        return "looked"

    order.PARTS["nothing"] = Part("look", look)  # type: ignore[index]
    assert run(tmp_path) == 0, report(tmp_path)
    assert modes
    assert not any(modes)
    assert not (tmp_path / NAME / "home").exists()


@pytest.mark.parametrize("name", [STACK, STACK.title()])
def test_name_of_a_stack_that_exists_is_refused_before_anything_is_made(
    stack: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    if name != STACK:
        stack.client("cloudformation").create_stack(
            StackName=name, TemplateBody=json.dumps({"Resources": {}})
        )
    before = there(stack)
    stack.aws.forget()

    assert run(tmp_path, "--only", "again", name=name) == 1

    assert f"stack {name} exists in {REGION}" in capsys.readouterr().err
    assert there(stack) == before
    assert [c for c in stack.aws.calls if "Create" in c or "Import" in c] == []


def test_missing_region_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_REGION")
    assert run(tmp_path, "--only", "again") == 1
    assert "no AWS region is set" in capsys.readouterr().err


def test_missing_credentials_are_refused(
    aws: AwsServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert run(tmp_path, "--only", "again") == 1
    assert "no usable AWS credentials" in capsys.readouterr().err
    assert aws.calls == []


def test_new_key_pair_is_listed_before_the_stack_is_created(
    account: Account, acted: list[View], tmp_path: Path
) -> None:
    """The template's rules would not find it."""
    hide = [lambda text: re.sub("(?s)<keySet>.*</keySet>", "<keySet/>", text)] * 2
    account.aws.edit_once("ec2:DescribeKeyPairs", *hide)
    assert run(tmp_path) == 0, report(tmp_path)
    calls = account.aws.calls[: account.aws.calls.index("cloudformation:CreateStack")]
    assert calls.count("ec2:DescribeKeyPairs") == 3


def test_nobody_to_ask_is_no_yes(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--stack", NAME, "--folder", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "acceptance", *words, *REACHED],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "about $0." in done.stdout
    assert "Account 123456789012, as arn:aws:" in done.stdout
    assert "no terminal to confirm the cost on" in done.stderr
    assert there(account)["stacks"] == there(account)["key pairs"] == []


def test_answer_no_makes_nothing(
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    before = there(account)

    assert main(["--stack", NAME, "--folder", str(tmp_path), *REACHED]) == 1

    assert "Create this and accept the cost?" in capsys.readouterr().out
    assert there(account) == before


def test_interrupted_clean_up_names_its_stack(
    aws: AwsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAME).mkdir()
    journal = Journal(tmp_path / NAME / "journal.jsonl")
    place = {"region": REGION, "account": "123456789012"}
    journal.write(Kind.RUN, "1111111111", State.MADE, NAME, **place)
    aws.edit_once("sts:GetCallerIdentity", sending(signal.SIGINT, os.getpid))
    assert clean_up(tmp_path) == INTERRUPTED
    assert f"--clean-up {NAME} --folder {tmp_path}" in capsys.readouterr().err


def test_somebody_elses_stack_that_was_faster_is_left_alone(
    account: Account, acted: list[View], tmp_path: Path
) -> None:
    def create(text: str) -> str:
        account.client("cloudformation").create_stack(
            StackName=NAME, TemplateBody=json.dumps({"Resources": {}})
        )
        return text

    account.aws.edit_once("ec2:ImportKeyPair", create)

    assert run(tmp_path) == 1

    found = there(account)
    assert (found["stacks"], found["key pairs"]) == ([NAME], [])
    assert Journal(tmp_path / NAME / "journal.jsonl").run() is None


def test_run_that_another_process_left_meanwhile_is_not_forgotten(
    account: Account,
    acted: list[View],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """It began and was killed while the user was asked."""
    journal = Journal(tmp_path / NAME / "journal.jsonl")
    monkeypatch.setattr(
        "acceptance.run.command._ask",
        lambda *_: journal.write(Kind.RUN, "1111111111", State.MADE, NAME),
    )
    assert run(tmp_path) == 1
    entry = journal.run()
    assert entry is not None
    assert entry.name == "1111111111"
    assert acted == []
    assert there(account)["key pairs"] == []


MAKING = (
    "ec2:ImportKeyPair",
    "cloudformation:CreateStack",
    "cloudformation:DescribeStackResources",
    "iam:CreateRole",
    "iam:AttachRolePolicy",
    "sts:AssumeRole",
)
DELETING = ("iam:DeleteRole", "cloudformation:DeleteStack", "ec2:ReleaseAddress")


def sending(number: int, process: Callable[[], int]) -> Callable[[str], str]:
    """An edit of an answer: a signal comes while it is on its way."""

    def edit(text: str) -> str:
        os.kill(process(), number)
        return text

    return edit


@pytest.mark.parametrize("call", MAKING)
def test_interrupted_run_leaves_nothing(
    account: Account,
    before: dict[str, list[str]],
    acted: list[View],
    tmp_path: Path,
    call: str,
) -> None:
    number = signal.SIGTERM if call == MAKING[-1] else signal.SIGINT
    account.aws.edit_once(call, sending(number, os.getpid))

    assert run(tmp_path) == 1

    assert there(account) == before
    assert acted == []
    assert f"ended by {signal.Signals(number).name}" in report(tmp_path)


@pytest.mark.parametrize("call", DELETING)
def test_interrupted_deletion_goes_on(
    account: Account,
    before: dict[str, list[str]],
    acted: list[View],
    tmp_path: Path,
    call: str,
) -> None:
    account.aws.edit_once(call, sending(signal.SIGINT, os.getpid))
    assert run(tmp_path) == 0, report(tmp_path)
    assert there(account) == before


def test_run_that_nobody_watches_any_more_leaves_nothing(
    account: Account, before: dict[str, list[str]], tmp_path: Path
) -> None:
    """The terminal is closed: what is printed fails, and SIGHUP comes."""
    reading, writing = os.pipe()
    started: list[subprocess.Popen[bytes]] = []

    def close(text: str) -> str:
        os.close(reading)
        os.kill(started[0].pid, signal.SIGHUP)
        return text

    account.aws.edit_once("iam:CreateRole", close)
    words = ("--stack", NAME, "--yes", "--folder", str(tmp_path))
    command = [sys.executable, "-m", "acceptance", *words, *REACHED]
    started.append(
        subprocess.Popen(command, cwd=PROJECT, stdout=writing, stderr=writing)
    )
    os.close(writing)

    assert started[0].wait(60) == 1
    assert there(account) == before
    assert "ended by SIGHUP" in report(tmp_path)


def test_client_that_cannot_be_ended_keeps_nothing_from_being_deleted(
    account: Account, before: dict[str, list[str]], acted: list[View], tmp_path: Path
) -> None:
    class Stuck:
        def stop(self) -> None:
            raise RuntimeError("it does not end")

    def act(view: View) -> str:
        view.sender = cast(Sender, Stuck())
        return "nothing"

    order.PARTS["nothing"] = Part("nothing", act)  # type: ignore[index]
    assert run(tmp_path) == 1
    assert there(account) == before
    assert "the client was not ended: RuntimeError: it does not end" in report(tmp_path)


def test_error_of_a_part_leaves_nothing_and_is_told(
    account: Account, before: dict[str, list[str]], acted: list[View], tmp_path: Path
) -> None:
    def fail(view: View) -> str:
        raise PortwayError("it broke", why="because", do="mend it")

    order.PARTS["nothing"] = Part("a part", fail)  # type: ignore[index]
    assert run(tmp_path) == 1
    assert there(account) == before
    assert "it broke\n  because\n  mend it" in report(tmp_path)
    assert "| a part | 0 | **failed** |" in report(tmp_path)


@pytest.mark.parametrize("call", [*MAKING[:2], "iam:CreateRole", "sts:AssumeRole"])
def test_killed_run_is_cleaned_up(
    account: Account, before: dict[str, list[str]], tmp_path: Path, call: str
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    account.aws.edit_once(call, sending(signal.SIGKILL, lambda: started[0].pid))
    words = ("--stack", NAME, "--yes", "--folder", str(tmp_path), *REACHED)
    started.append(
        subprocess.Popen([sys.executable, "-m", "acceptance", *words], cwd=PROJECT)
    )
    assert started[0].wait(60) == -signal.SIGKILL

    assert run(tmp_path, "--only", "again") == 1, "an earlier run has left something"
    assert clean_up(tmp_path) == 0
    assert there(account) == before
    assert not (tmp_path / NAME / "home").exists()
    account.aws.forget()
    assert clean_up(tmp_path) == 0
    assert account.aws.calls == [], "there is nothing more to do"


@pytest.mark.parametrize(
    "call", ["iam:DeleteRole", "cloudformation:DeleteStack", "ec2:ReleaseAddress"]
)
@pytest.mark.usefixtures("acted")
def test_what_aws_is_too_busy_to_delete_is_deleted_later(
    account: Account,
    before: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    call: str,
) -> None:
    sleep = time.sleep

    def pass_time(seconds: float) -> None:
        if seconds == PAUSE:
            account.aws.forget()
        else:
            sleep(seconds)

    monkeypatch.setattr(cleaning, "PAUSES", (PAUSE,))
    monkeypatch.setattr("acceptance.account.cleaning.time.sleep", pass_time)
    account.aws.refuse(call, "RequestLimitExceeded", "slow down", 400)
    assert run(tmp_path) == 0, report(tmp_path)
    assert there(account) == before


def test_killed_deletion_is_ended_by_the_next(
    account: Account,
    before: dict[str, list[str]],
    acted: list[View],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    account.aws.refuse("cloudformation:DeleteStack", "Throttling", "slow down", 400)
    assert run(tmp_path) == 1
    assert NAME in there(account)["stacks"]
    assert "AWS throttles" in report(tmp_path)
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"python -m acceptance --clean-up {NAME} --folder {tmp_path}" in last

    account.aws.forget()
    assert clean_up(tmp_path) == 0
    assert there(account) == before


def test_what_has_no_tag_of_the_run_is_left_alone(
    account: Account,
    before: dict[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever the journal says: somebody made another one of that name."""
    account.client("cloudformation").create_stack(
        StackName=NAME, TemplateBody=json.dumps({"Resources": {}})
    )
    (allocation, *_) = (
        a["AllocationId"]
        for a in account.client("ec2").describe_addresses()["Addresses"]
        if a["Tags"] == [{"Key": TAG, "Value": "0"}]
    )
    before = there(account)
    (tmp_path / NAME).mkdir()
    journal = Journal(tmp_path / NAME / "journal.jsonl")
    place = {"region": REGION, "account": "123456789012"}
    journal.write(Kind.RUN, "1111111111", State.MADE, NAME, **place)
    name = "portway-acceptance-0000000000"
    journal.write(Kind.KEY_PAIR, name, State.MADE)
    journal.write(Kind.ROLE, name, State.MADE)
    journal.write(Kind.STACK, NAME, State.MADE)
    journal.write(Kind.ADDRESS, "203.0.113.9", State.MADE, allocation)

    assert clean_up(tmp_path) == 1

    assert there(account) == before
    assert capsys.readouterr().err.count("this run did not make it") >= 4
    assert journal.run() is not None


def test_journal_of_another_account_is_refused(
    aws: AwsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAME).mkdir()
    journal = Journal(tmp_path / NAME / "journal.jsonl")
    place = {"region": REGION, "account": "999999999999"}
    journal.write(Kind.RUN, "1111111111", State.MADE, NAME, **place)
    journal.write(Kind.KEY_PAIR, "a", State.MADE)
    assert clean_up(tmp_path) == 1
    assert "another account" in capsys.readouterr().err
    assert aws.calls == ["sts:GetCallerIdentity"]
