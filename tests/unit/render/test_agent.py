"""The agent's units are ones that systemd takes, for an inventory in a release."""

import ast
import base64
import hashlib
import os
import subprocess
from pathlib import Path

import click
import pytest

from portway.aws import looking
from portway.cli.agent import turn_command
from portway.contract.paths import UNIT_FOLDER
from portway.errors import PortwayError
from portway.model.build import build_cluster
from portway.model.pulled import CURRENT, ROOT, SIGNERS
from portway.model.stack import Role
from portway.render.agent import (
    FIRST,
    FIRST_BOOT,
    agent,
    first_boot,
    user_data,
)
from tests.unit import samples

OURS = ("prod", "eu-central-1", "inventories/prod.py")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3qNys3lgVzir6FbMlwcvqXnZvfjo/65o54SzYG+UQ3"
ANNA = f"anna@example.com {KEY}"


@pytest.mark.parametrize("role", Role)
def test_systemd_takes_the_units(tmp_path: Path, role: Role) -> None:
    wanted = agent(samples.cluster(), role, "inventories/prod.py")
    units = [file for file in wanted.files if file.path.startswith(str(UNIT_FOLDER))]
    for file in units:
        # There is no release on this machine.
        content = file.content.replace(f"{CURRENT}/bin/portway", "/bin/true")
        (tmp_path / Path(file.path).name).write_text(content)
    for file in units:
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
def signers(tmp_path: Path) -> Path:
    file = tmp_path / "allowed"
    file.write_text(f"# Who signs\n\n{ANNA}\n")
    return file


@pytest.fixture
def booted(tmp_path: Path, signers: Path) -> Path:
    """A machine whose first boot ran the user data; systemctl notes what it is told."""
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/told\n')
    systemctl.chmod(0o755)
    (tmp_path / "units").mkdir()
    text = first_boot(*OURS, signers).replace(str(UNIT_FOLDER), f"{tmp_path}/units")
    text = text.replace(str(SIGNERS.parent), f"{tmp_path}/portway")
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
    text = (booted / "root" / "first_release.py").read_text()
    brought = ast.parse(text.replace(f"{booted}/portway", str(SIGNERS.parent)))
    original = ast.parse(FIRST.read_text())
    for node in ast.walk(original):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node):
            node.body.pop(0)
    assert ast.dump(brought) == ast.dump(original)


def test_user_data_is_that_script(tmp_path: Path) -> None:
    shell = tmp_path / "sh"
    shell.write_text(f"#!/bin/sh\nexec cat >{tmp_path}/told\n")
    shell.chmod(0o755)
    (tmp_path / "user-data").write_bytes(base64.b64decode(user_data(*OURS)))
    line = ["/bin/sh", str(tmp_path / "user-data")]
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(line, env=env, check=True)
    assert (tmp_path / "told").read_text() == first_boot(*OURS)


def test_user_data_brings_who_may_sign_releases(booted: Path) -> None:
    assert (booted / "portway" / SIGNERS.name).read_text() == f"{ANNA}\n"


def test_signers_are_written_for_the_node(signers: Path) -> None:
    """Not by a release where somebody has told the node already."""
    plain = samples.cluster()
    settings = samples.settings(release_signers_file=str(signers))
    cluster = build_cluster(plain.stack, settings, samples.clients())
    content = agent(cluster, Role.APPLICATION, OURS[2]).file(str(SIGNERS)).content
    assert content.endswith(f"\n{ANNA}\n")
    without = agent(plain, Role.APPLICATION, OURS[2])
    lines = without.file(str(SIGNERS)).content.splitlines()
    assert all(line.startswith("#") for line in lines)
    signers.unlink()
    knows = agent(cluster, Role.APPLICATION, OURS[2], knows_signers=True)
    assert str(SIGNERS) not in [file.path for file in knows.files]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read"),
        ("# nobody\n", "names nobody"),
        (ANNA[:-4], "whole key"),
    ],
)
def test_signers_that_are_none(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "allowed"
    if text is not None:
        file.write_text(text)
    with pytest.raises(PortwayError, match=told):
        first_boot(*OURS, file)


def test_user_data_fits_into_a_parameter(signers: Path) -> None:
    assert len(user_data(*OURS, signers)) <= MOST
    assert len(user_data(*LONGEST)) <= MOST
    long = "".join(hashlib.sha256(bytes([i])).hexdigest() for i in range(16))
    with pytest.raises(PortwayError, match="a shorter name"):
        user_data("one", "eu-central-1", f"inventories/{long}.py")


def test_user_data_is_the_same_each_time() -> None:
    """So an update of the stack changes nothing."""
    assert user_data(*LONGEST) == user_data(*LONGEST)


def test_units_say_what_to_run() -> None:
    cluster = samples.cluster()
    wanted = agent(cluster, Role.LOAD_BALANCER, "inventories/prod.py")
    service, timer, _ = (file.content for file in wanted.files)
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
