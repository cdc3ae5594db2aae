"""What a lab's things are called, and what is written down about its hosts."""

from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.plan.files import write_whole
from lab.plan.names import Lab, chosen
from lab.plan.records import Host, hosts, save

HOST = Host(
    node="app-1",
    role="application",
    instance_id="i-1",
    interface_id="eni-1",
    mac="02:00:00:00:00:01",
    address="10.0.0.5",
    prefix=24,
    gateway="10.0.0.1",
    image="/image",
)


@pytest.mark.parametrize("name", ["", "a-b", "A", "1a", "a" * 16, "../x", "a b"])
def test_lab_refuses_a_name_that_could_own_anothers_things(name: str) -> None:
    with pytest.raises(LabError, match="cannot name a lab"):
        Lab(name)


def test_lab_is_chosen_by_argument_then_environment_then_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTWAY_LAB", "fromenv")
    assert chosen("given").name == "given"
    assert chosen().name == "fromenv"
    monkeypatch.delenv("PORTWAY_LAB")
    assert chosen().name == "portway"


def test_host_is_refused_a_name_that_is_a_path() -> None:
    with pytest.raises(LabError, match="cannot name a lab host"):
        Lab("test").host("../other")


def test_device_names_fit_and_differ() -> None:
    long = [replace(HOST, node=f"application-node-{n}") for n in (1, 2)]
    devices = {host.device for host in long}
    assert len(devices) == 2
    assert all(len(device) <= 15 for device in devices)
    assert HOST.device == "app-1"


def test_hosts_are_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORTWAY_LAB_STATE", str(tmp_path))
    lab = Lab("test")
    assert hosts(lab) == ()
    save(lab, HOST)
    assert hosts(lab) == (HOST,)


def test_file_is_written_whole_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_whole(file, "one", 0o600)
    write_whole(file, "two", 0o600)
    assert file.read_text() == "two"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
