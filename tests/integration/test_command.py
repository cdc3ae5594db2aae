"""The pyinfra command refuses to start with one paragraph, not with a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import STACK, Account

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pyinfra as an operator would, in the environment of this test."""
    pyinfra = Path(sys.executable).with_name("pyinfra")
    return subprocess.run(
        [pyinfra, "inventories/prod.py", "deploys/lb.py", "-y", *arguments],
        cwd=ROOT,
        env=os.environ | {"PORTWAY_STACK": STACK} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What a refused run said, which must not be a traceback."""
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0, said
    assert "Traceback" not in said
    return said


def test_without_credentials(stack: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")

    said = refusal(run())

    assert f"stack {STACK}: there are no usable AWS credentials" in said
    assert "set AWS_PROFILE" in said


def test_with_a_stack_that_does_not_exist(account: Account) -> None:
    said = refusal(run())

    assert f"stack {STACK}: there is no such stack in eu-central-1" in said
    assert "check PORTWAY_STACK and AWS_REGION" in said


def test_with_a_region_where_the_stack_is_not(stack: Account) -> None:
    said = refusal(run(AWS_REGION="eu-west-1"))

    assert f"stack {STACK}: there is no such stack in eu-west-1" in said


def test_with_one_load_balancer(stack: Account) -> None:
    stack.client("ec2").terminate_instances(InstanceIds=[stack.load_balancer("lb-1")])

    said = refusal(run())

    assert "two load balancers are needed and only lb-2" in said


@pytest.mark.parametrize("option", ["--limit=nosuch", "--no-wait"])
def test_with_an_option_that_would_do_nothing_or_hide_failures(
    stack: Account, option: str
) -> None:
    assert option.partition("=")[0] in refusal(run(option))
