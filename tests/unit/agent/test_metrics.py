"""What an agent tells Prometheus is in its format, and says what the memory says."""

import subprocess
from pathlib import Path

import pytest

from portway.agent import metrics
from portway.agent.memory import Files, Memory, Refusal
from portway.errors import PortwayError
from portway.model.suspension import Suspension

WHERE = 'stack="one",role="application"'


def saved(folder: Path, memory: Memory, *, suspended: bool = False) -> dict[str, str]:
    """The values by name, of a file that Prometheus can read."""
    files, file = Files(folder / "agent"), folder / "portway_agent.prom"
    files.keep(memory)
    if suspended:
        files.suspend(Suspension("tests", "anna", 0.0))
    metrics.save(files, "one", "application", file)
    text = file.read_text()
    subprocess.run(["promtool", "check", "metrics"], input=text, text=True, check=True)
    assert file.stat().st_mode & 0o777 == 0o644, "the exporter is another user"
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in lines}


def test_all_is_well(tmp_path: Path) -> None:
    at = 1_800_000_000.5
    memory = Memory("portway-1", ran=at, succeeded=at, places={"stack": "one"})
    assert saved(tmp_path, memory) == {
        f"portway_agent_ran_seconds{{{WHERE}}}": "1800000000.5",
        f"portway_agent_succeeded_seconds{{{WHERE}}}": "1800000000.5",
        f"portway_agent_failures{{{WHERE}}}": "0",
        f"portway_agent_refuses{{{WHERE}}}": "0",
        f"portway_agent_blind{{{WHERE}}}": "0",
        f"portway_agent_suspended{{{WHERE}}}": "0",
        f'portway_agent_served{{{WHERE},release="portway-1"}}': "1",
    }


def test_changes_are_told_by_kind(tmp_path: Path) -> None:
    memory = Memory().with_changes(["Write the files", 'Run "it"'], repairs=True)
    memory = memory.with_changes(["Write the files"], repairs=True)
    memory = memory.with_changes(["Write the files"], repairs=False)
    found = saved(tmp_path, memory)
    changes = {k: v for k, v in found.items() if k.startswith("portway_agent_changes")}
    assert changes == {
        f'portway_agent_changes_total{{{WHERE},why="{why}",what="{what}"}}': count
        for why, what, count in (
            ("drift", "Write the files", "2"),
            ("drift", 'Run \\"it\\"', "1"),
            ("wanted", "Write the files", "1"),
        )
    }


def test_nothing_is_well(tmp_path: Path) -> None:
    memory = Memory(failures=7, refusal=Refusal("portway-2", "why"))
    found = saved(tmp_path, memory, suspended=True)
    for name, value in (
        ("failures", "7"),
        ("refuses", "1"),
        ("blind", "1"),
        ("suspended", "1"),
    ):
        assert found[f"portway_agent_{name}{{{WHERE}}}"] == value


def test_release_that_has_not_served_yet_is_told(tmp_path: Path) -> None:
    memory = Memory("portway-1", goes_back=True)
    assert saved(tmp_path, memory)[f"portway_agent_refuses{{{WHERE}}}"] == "1"


def test_look_without_an_answer_is_told(tmp_path: Path) -> None:
    files, file = Files(tmp_path / "agent"), tmp_path / "portway_agent.prom"
    files.keep(Memory(places={"stack": "one"}))
    metrics.save(files, "one", "application", file, is_blind=True)
    assert f"portway_agent_blind{{{WHERE}}} 1\n" in file.read_text()


def test_machine_without_an_exporter_gets_no_file(tmp_path: Path) -> None:
    metrics.save(
        Files(tmp_path / "agent"), "one", "application", tmp_path / "none" / "file.prom"
    )
    assert not (tmp_path / "none").exists()


def test_full_disk_stops_no_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise PortwayError("it cannot be written (No space left on device)")

    monkeypatch.setattr(metrics, "replace_file", full)
    metrics.save(
        Files(tmp_path / "agent"), "one", "application", tmp_path / "file.prom"
    )
    assert not (tmp_path / "file.prom").exists()
