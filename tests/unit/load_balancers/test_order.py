"""In which order a load balancer is changed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from portway.contract.paths import PYTHON_FOLDER
from portway.load_balancers import deploy
from portway.ops.differences import FoundFile, FoundNode, FoundService
from portway.render.load_balancer import PAIR, PROGRAMS, load_balancer
from tests.unit import samples

OPERATIONS = (
    "install_packages",
    "write_files",
    "read_units",
    "try_permissions",
    "write_file",
    "apply_sysctls",
    "verify_ports",
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

    assert [operation for operation, _ in done[:8]] == [
        "install_packages",
        "write_files",
        "read_units",
        "write_files",
        "try_permissions",
        "apply_sysctls",  # it reserves ports, so that no connection takes one any more
        "verify_ports",
        "write_file",
    ]
    (_, programs), (_, read), (_, configs) = done[1:4]
    written = [file.path for file in programs["files"]]
    assert {service.override for service in PROGRAMS} <= set(written)
    assert any(path.startswith(str(PYTHON_FOLDER)) for path in written)
    assert read["services"] == PROGRAMS
    assert {file.path for file in configs["files"]} == {s.config for s in PROGRAMS}
    assert not {file.path for file in configs["files"]} & set(written)


FILES = {service.config: FoundFile("0", "644", "root", "root") for service in PAIR}
RUNNING = FoundService(
    active=True,
    enabled=True,
    needs_daemon_reload=False,
    overrides=(),
    loaded_sha256=None,
)
SERVICES = {service.unit: RUNNING for service in PAIR}


def test_part_in_the_pair_is_left_alone_only_if_the_node_has_one() -> None:
    """A first deploy that was interrupted is finished, and what stopped is started."""
    assert deploy.has_part(FoundNode(files=FILES, services=SERVICES))
    for service in PAIR:
        files = {path: FILES[path] for path in FILES if path != service.config}
        stopped = SERVICES | {service.unit: replace(RUNNING, active=False)}
        gone = {unit: SERVICES[unit] for unit in SERVICES if unit != service.unit}
        assert not deploy.has_part(FoundNode(files=files, services=SERVICES))
        assert not deploy.has_part(FoundNode(files=FILES, services=stopped))
        assert not deploy.has_part(FoundNode(files=FILES, services=gone))
