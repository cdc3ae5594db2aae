"""``portway import-chef``: what it writes, shows and refuses."""

import json
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portway.cli.import_chef import command
from portway.errors import PortwayError
from portway.model.clients import read_clients
from portway.model.settings import settings_from

DATA = Path(__file__).parents[1] / "chef" / "data"
SERVER = [str(DATA / "server" / f"{n}.json") for n in ("node", "role", "base", "prod")]
SOLO = str(DATA / "solo" / "solo.json")


def run(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def test_files_that_are_written_are_what_a_run_reads(tmp_path: Path) -> None:
    folder = tmp_path / "taken-over"
    result = run(*SERVER, "--to", str(folder))
    assert result.exit_code == 0, result.output
    variables = runpy.run_path(str(folder / "settings.py"))
    settings = settings_from({k: v for k, v in variables.items() if k[0] != "_"})
    assert settings.clients_path == folder / "clients.json"
    assert settings.idle_timeout == 3600
    found = read_clients(settings.clients_path)
    assert [client.client_port for client in found.clients] == [9009, 9001, 9002]
    assert (found.problems, found.warnings) == ((), ())
    assert "(environment prod, override)" in (folder / "settings.py").read_text()


def test_what_is_there_is_overwritten_with_force_only(tmp_path: Path) -> None:
    there = tmp_path / "settings.py"
    there.write_text("mine = True\n")
    result = run(*SERVER, "--to", str(tmp_path))
    assert isinstance(result.exception, PortwayError)
    assert "nothing was written" in result.exception.message
    assert [path.name for path in tmp_path.iterdir()] == ["settings.py"]
    assert there.read_text() == "mine = True\n"
    assert run(*SERVER, "--to", str(tmp_path), "--force").exit_code == 0
    assert "mine" not in there.read_text()


def test_nothing_is_written_while_entries_are_wrong(tmp_path: Path) -> None:
    result = run(SOLO, "--to", str(tmp_path))
    assert result.exit_code == 2
    assert "Wrong; nothing was written:" in result.output
    assert "app1.internal" in result.output
    assert list(tmp_path.iterdir()) == []


def test_all_is_shown_without_a_folder() -> None:
    text = run(*SERVER).output
    assert '"client_name": "client_one"' in text
    assert "idle_timeout = 3600  # message_lb.idle_timeout (role message_lb" in text
    assert "clients are message_lb.clients (role message_lb, default)" in text
    assert "Not understood:\n  message_lb.haproxy_version\n  ntp.servers\n" in text


def test_json_has_all_of_it() -> None:
    found = json.loads(run(SOLO, "--json").output)
    assert list(found) == [
        "clients",
        "settings",
        "origins",
        "taken",
        "notes",
        "unread",
        "problems",
        "written",
    ]
    assert len(found["problems"]) == 2
    assert "hunter2" not in json.dumps(found)


@pytest.mark.parametrize(
    "words", [(), ("gone.json",), (SOLO, "--setting", "idle_timeout")]
)
def test_words_that_make_no_sense_are_refused(words: tuple[str, ...]) -> None:
    assert run(*words).exit_code != 0
