"""In which order a load balancer is changed."""

from collections.abc import Callable
from typing import Any

import pytest

from portway.contract.paths import PYTHON_FOLDER
from portway.load_balancers import deploy
from portway.render.load_balancer import PROGRAMS, load_balancer
from tests.unit import samples

OPERATIONS = (
    "install_packages",
    "write_files",
    "read_units",
    "try_permissions",
    "write_file",
    "apply_sysctls",
    "run_haproxy",
    "run_service",
)


def test_new_programs_can_be_started_before_their_configurations_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until systemd has read a unit it starts the old program.

    With the new configuration that would count as the new one.
    """
    done: list[tuple[str, dict[str, Any]]] = []

    def recording(operation: str) -> Callable[..., None]:
        return lambda **given: done.append((operation, given))

    for operation in OPERATIONS:
        monkeypatch.setattr(deploy, operation, recording(operation))
    cluster = samples.cluster()

    deploy.apply_load_balancer(
        cluster, load_balancer(cluster, cluster.load_balancers[0])
    )

    assert [operation for operation, _ in done[:5]] == [
        "install_packages",
        "write_files",
        "read_units",
        "write_files",
        "try_permissions",
    ]
    (_, programs), (_, read), (_, configs) = done[1:4]
    written = [file.path for file in programs["files"]]
    assert {service.override for service in PROGRAMS} <= set(written)
    assert any(path.startswith(str(PYTHON_FOLDER)) for path in written)
    assert read["services"] == PROGRAMS
    assert {file.path for file in configs["files"]} == {s.config for s in PROGRAMS}
    assert not {file.path for file in configs["files"]} & set(written)
