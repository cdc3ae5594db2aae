"""What packages' scripts may do to the services of a load balancer."""

import subprocess
from pathlib import Path

import pytest

from portway.contract.paths import PACKAGE_POLICY
from portway.render.load_balancer import load_balancer
from tests.unit import samples

FORBIDDEN = 101
"""Exit status of policy-rc.d that forbids it (invoke-rc.d, deb-systemd-invoke)."""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The policy of a load balancer."""
    cluster = samples.cluster()
    wanted = load_balancer(cluster, cluster.load_balancers[0])
    file = wanted.file(str(PACKAGE_POLICY))
    assert file.mode == "755"
    path = tmp_path / "policy-rc.d"
    path.write_text(file.content)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("keepalived.service", "restart"), FORBIDDEN),  # deb-systemd-invoke
        (("keepalived", "restart"), FORBIDDEN),  # invoke-rc.d
        (("--quiet", "keepalived", "restart", "5"), FORBIDDEN),
        (("keepalived.service", "start"), 0),
        (("haproxy", "reload"), 0),
        (("haproxy.service", "start"), 0),
        (("ssh.service", "restart"), 0),
    ],
)
def test_only_a_restart_of_keepalived_is_forbidden(
    policy: Path, words: tuple[str, ...], status: int
) -> None:
    assert subprocess.run([policy, *words], check=False).returncode == status
