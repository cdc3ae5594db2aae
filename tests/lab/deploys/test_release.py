"""A release runs on a host that has Debian's Python and no package that it needs."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.machines import commands
from lab.plan.names import Lab
from portway.agent.building import Built, build
from tests.integration.agent.checkouts import original
from tests.lab.system import System

__all__ = ["original"]

NODE = "app-1"


@pytest.fixture(scope="module")
def built(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    to = tmp_path_factory.mktemp("built")
    return build(original, ["debian13-amd64"], to, uncommitted=False)


@pytest.fixture
def release(settled: System, built: Built) -> Iterator[str]:
    """The folder of a release that was unpacked on a node."""
    folder = "/var/tmp/release"
    unpack = f"mkdir {folder} && tar --extract --directory {folder}"
    line = commands.on_host(Lab(settled.name), NODE, ["sh", "-c", unpack])
    with built.file.open("rb") as archive:
        subprocess.run(line, stdin=archive, check=True)
    yield f"{folder}/portway-{built.version}"
    settled.node(NODE, f"rm -r {folder}")


def test_it_checks_and_deploys_with_the_hosts_own_python(
    settled: System, release: str
) -> None:
    have = settled.node(NODE, "python3 -c 'import click'", check=False)
    assert have.returncode, "the host must not have what the release brings"
    checked = settled.node(NODE, f"cd {release}/project && ../bin/portway check --json")
    assert json.loads(checked.stdout)["problems"] == []
    made = "files.directory('/run/deployed', _sudo=False)"
    deploy = f"from pyinfra.operations import files\n{made}\n"
    settled.node(
        NODE,
        f'cd {release}/project && printf %s "{deploy}" > deploys/own.py && '
        "../bin/pyinfra -y @local deploys/own.py && rmdir /run/deployed",
    )
