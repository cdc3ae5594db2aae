"""The agent's units are ones that systemd takes, for an inventory in a release."""

import ast
import base64
import os
import subprocess
from pathlib import Path

import click
import pytest

from portway.aws import looking
from portway.cli.agent import turn_command
from portway.contract.paths import UNIT_FOLDER
from portway.errors import PortwayError
from portway.model.stack import Role
from portway.render.agent import CURRENT, FIRST, FIRST_BOOT, ROOT, agent, user_data
from tests.unit import samples


@pytest.mark.parametrize("role", Role)
def test_systemd_takes_the_units(tmp_path: Path, role: Role) -> None:
    wanted = agent(samples.cluster(), role, "inventories/prod.py")
    for file in wanted.files:
        # There is no release on this machine.
        content = file.content.replace(f"{CURRENT}/bin/portway", "/bin/true")
        (tmp_path / Path(file.path).name).write_text(content)
    for file in wanted.files:
        verdict = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / Path(file.path).name],
            capture_output=True,
            text=True,
            check=False,
        )
        assert verdict.returncode == 0, verdict.stderr
        assert str(tmp_path) not in verdict.stderr, "what it warns of"


LONGEST = ("s" * 128, "us-gov-northeast-1", f"inventories/{'i' * 60}.py")
MOST = 4096
"""Characters of a parameter of CloudFormation's."""


@pytest.fixture
def booted(tmp_path: Path) -> Path:
    """A machine whose first boot ran the user data; systemctl notes what it is told."""
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/told\n')
    systemctl.chmod(0o755)
    (tmp_path / "units").mkdir()
    script = base64.b64decode(user_data("prod", "eu-central-1", "inventories/prod.py"))
    text = script.decode().replace(str(UNIT_FOLDER), f"{tmp_path}/units")
    (tmp_path / "user-data").write_text(text.replace(str(ROOT), f"{tmp_path}/root"))
    path = f"{systemctl.parent}:{os.environ['PATH']}"
    line = ["/bin/sh", str(tmp_path / "user-data")]
    subprocess.run(line, env={"PATH": path}, check=True)
    return tmp_path


def test_user_data_leaves_a_unit_that_systemd_takes(booted: Path) -> None:
    unit = booted / "units" / FIRST_BOOT
    line = ["systemd-analyze", "verify", "--man=no", str(unit)]
    verdict = subprocess.run(line, capture_output=True, text=True, check=False)
    assert verdict.returncode == 0, verdict.stderr
    assert FIRST_BOOT not in verdict.stderr, "what it warns of"
    assert (booted / "told").read_text().splitlines() == [
        "daemon-reload",
        f"enable {FIRST_BOOT}",
        f"start --no-block {FIRST_BOOT}",
    ]
    text = unit.read_text()
    assert "PORTWAY_STACK=prod AWS_REGION=eu-central-1 " in text
    assert text.count("agent install inventories/prod.py'\n") == 1


def test_user_data_brings_the_program_for_the_first_release(booted: Path) -> None:
    brought = ast.parse((booted / "root" / "first_release.py").read_text())
    original = ast.parse(FIRST.read_text())
    for node in ast.walk(original):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node):
            node.body.pop(0)
    assert ast.dump(brought) == ast.dump(original)


def test_user_data_fits_into_a_parameter() -> None:
    assert len(user_data(*LONGEST)) <= MOST
    with pytest.raises(PortwayError, match="a shorter name"):
        user_data("one", "eu-central-1", f"inventories/{'i' * 900}.py")


def test_user_data_is_the_same_each_time() -> None:
    """So an update of the stack changes nothing."""
    assert user_data(*LONGEST) == user_data(*LONGEST)


def test_units_say_what_to_run() -> None:
    cluster = samples.cluster()
    wanted = agent(cluster, Role.LOAD_BALANCER, "inventories/prod.py")
    service, timer = (file.content for file in wanted.files)
    assert f"Environment=PORTWAY_STACK={cluster.stack.name}\n" in service
    assert f"Environment=AWS_REGION={cluster.stack.region}\n" in service
    words = "agent turn --every 1800 inventories/prod.py\n"
    assert f"ExecStart={CURRENT}/bin/portway {words}" in service
    assert "\nOnUnitInactiveSec=60s\n" in timer
    assert "\nRandomizedDelaySec=20s\n" in timer

    wanted = agent(cluster, Role.APPLICATION, "inventories/prod.py")
    words = "agent turn --every 1800 --role application inventories/prod.py\n"
    assert words in wanted.files[0].content


def test_roles_are_called_as_in_a_stack() -> None:
    """Where the model of one is not loaded."""
    assert set(Role) == {looking.LOAD_BALANCER, looking.APPLICATION}
    (option,) = (p for p in turn_command.params if p.name == "role")
    assert isinstance(option.type, click.Choice)
    assert set(option.type.choices) == set(Role)


@pytest.mark.parametrize(
    "inventory",
    [
        "/home/anna/prod.py",
        "../prod.py",
        "inventories/../../prod.py",
        "-x.py",
        "inventories/a b.py",
        "inventories/%n.py",
        "prod.ini",
        "@local",
        "",
    ],
)
def test_inventory_that_no_release_has_is_refused(inventory: str) -> None:
    with pytest.raises(PortwayError, match="its path in your checkout"):
        agent(samples.cluster(), Role.APPLICATION, inventory)
    with pytest.raises(PortwayError, match="its path in your checkout"):
        user_data("prod", "eu-central-1", inventory)
