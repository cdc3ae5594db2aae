"""The agent's units are ones that systemd takes, for an inventory in a release."""

import subprocess
from pathlib import Path

import pytest

from portway.errors import PortwayError
from portway.render.agent import CURRENT, agent
from tests.unit import samples


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    wanted = agent(samples.cluster(), "inventories/prod.py")
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


def test_units_say_what_to_run() -> None:
    cluster = samples.cluster()
    service = agent(cluster, "inventories/prod.py").files[0].content
    assert f"Environment=PORTWAY_STACK={cluster.stack.name}\n" in service
    assert f"Environment=AWS_REGION={cluster.stack.region}\n" in service
    words = "agent turn --every 300 inventories/prod.py\n"
    assert f"ExecStart={CURRENT}/bin/portway {words}" in service


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
        agent(samples.cluster(), inventory)
