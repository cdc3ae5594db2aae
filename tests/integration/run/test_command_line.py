"""The command people run, ended by what can be wrong before a node is reached."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.aws_server import AwsServer
from tests.integration.conftest import STACK, Account

PROJECT = Path(__file__).parents[3]
COMMAND = (
    str(Path(sys.executable).with_name("pyinfra")),
    "inventories/prod.py",
    "deploys/lb.py",
    "-y",
    # Whatever happens, nothing is contacted outside of this machine.
    "--data",
    "ssh_hostname=127.0.0.1",
)


def run(*options: str, **environment: str) -> str:
    """Everything printed by a run that must fail with one plain paragraph."""
    result = subprocess.run(
        (*COMMAND, "--data", "ssh_port=1", *options),
        cwd=PROJECT,
        env={**os.environ, "PORTWAY_STACK": STACK, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = result.stdout + result.stderr
    assert result.returncode == 1, text
    assert "Traceback" not in text
    assert text.count("--> Stopped: ") == 1
    return text


def test_no_credentials(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    text = run()
    assert "there are no usable AWS credentials" in text
    assert "AWS_PROFILE" in text


def test_no_such_stack(aws: AwsServer) -> None:
    assert f"stack {STACK}: there is no such stack in eu-central-1" in run()


def test_no_load_balancer(stack: Account) -> None:
    ids = [stack.load_balancer(name) for name in ("lb-1", "lb-2")]
    stack.launch_no_other()
    stack.client("ec2").terminate_instances(InstanceIds=ids)
    assert f"stack {STACK}: none of its load balancers is running" in run()


def test_unsafe_option_is_refused(stack: Account) -> None:
    assert "--no-wait cannot be used here" in run("--no-wait")


def test_limit_that_matches_nothing_is_refused(stack: Account) -> None:
    assert "--limit lb-9 matches no node; there are" in run("--limit", "lb-9")


def test_interruption_is_not_success(stack: Account) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a host that never speaks
        port = silent.getsockname()[1]
        process = subprocess.Popen(
            (
                *(*COMMAND, "--data", f"ssh_port={port}"),
                *("--data", "ssh_strict_host_key_checking=no"),
            ),
            cwd=PROJECT,
            env={**os.environ, "PORTWAY_STACK": STACK},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            text = process.communicate(timeout=30)[0]
    assert process.returncode == 128 + signal.SIGINT, text
    assert "Interrupted" in text


def test_nobody_to_press_enter_is_told_what_to_add(tmp_path: Path) -> None:
    """On a host that is this machine: what is asked comes after all hosts' facts."""
    (tmp_path / "here.py").write_text(
        "from portway.run.command_line import stop_at_the_first_failure\n"
        "stop_at_the_first_failure()\n"
        "hosts = ['@local']\n"
    )
    (tmp_path / "deploy.py").write_text(
        "from pyinfra.operations import server\n"
        f"server.shell(name='Change', commands=['touch {tmp_path}/changed'])\n"
    )
    result = subprocess.run(
        (COMMAND[0], "here.py", "deploy.py"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = result.stdout + result.stderr
    assert result.returncode == 1, text
    assert "nobody is there\n  its standard input has ended" in text
    assert "add -y" in text
    assert "exception" not in text
    assert not (tmp_path / "changed").exists()
