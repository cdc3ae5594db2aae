"""``portway import-chef``: what it writes, shows and refuses."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portway.cli.import_chef import command
from portway.errors import PortwayError
from portway.model.clients import read_clients
from portway.model.settings import settings_from
from tests.unit.cli.project import PROJECT
from tests.unit.documents.reading import blocks, section

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
    given = {k: v for k, v in variables.items() if k[0] != "_"}
    assert "clients_file" not in given, "group_data/ has it already"
    settings = settings_from({"clients_file": "clients.json", **given})
    assert settings.idle_timeout == 3600
    found = read_clients(folder / "clients.json")
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
    assert "app_node_ip is a DNS name" in result.output
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
    "lb",
    [
        {"tunnel_command": 'ssh x"; open("ran", "w"); y="'},
        {"app_test_command": 'bin/send --text "hi" \\d'},
        {"tunnel_command": "ssh\\\\' \\N{BULLET}"},
    ],
)
def test_written_settings_are_the_attributes_and_run_nothing(
    lb: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    role = {
        "name": 'r\nopen("ran", "w")',
        "chef_type": "role",
        "default_attributes": {"lb": lb | {"clients": [{"name": "a", "port": 9001}]}},
        "run_list": [],
    }
    Path("role.json").write_text(json.dumps(role))
    result = run("role.json", "--to", 'a"b')
    assert result.exit_code == 0, result.output
    assert r'(role r\nopen("ran", "w"), default)' in result.output
    variables = runpy.run_path('a"b/settings.py')
    assert {k: v for k, v in variables.items() if k[0] != "_"} == lb
    assert not Path("ran").exists()


def test_what_the_document_says_ends_with_a_checkout_that_is_good(
    tmp_path: Path,
) -> None:
    """Literally: the commands of its section, in a checkout, with exports beside it."""
    for folder in ("group_data", "inventories"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    for source, name in (("node_long", "node"), ("role", "message_lb"), ("prod",) * 2):
        shutil.copy(DATA / "server" / f"{source}.json", tmp_path / f"{name}.json")
    document = (PROJECT / "docs" / "from-chef.md").read_text()
    steps = [b.text for b in blocks(section(document, "Take over")) if b.kind == "sh"]
    program = f'portway() {{ {sys.executable} -m portway.cli.main "$@"; }}'
    result = subprocess.run(
        ["bash", "-e", "-c", "\n".join([program, *steps])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith("inventories/prod.py: no problems\n")
    settings = runpy.run_path(str(tmp_path / "group_data" / "prod.py"))
    assert settings["idle_timeout"] == 3600
    found = read_clients(tmp_path / settings["clients_file"])
    assert found.clients[0].client_name == "client_prod"


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("file", "cannot be written (Not a directory)"),
        ("file/below", "cannot be written (Not a directory)"),
        ("x" * 300, "File name too long"),
        ("/proc/1/there", "cannot be written"),
    ],
)
def test_folder_that_cannot_be_written_is_told_in_words(
    folder: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    result = run(*SERVER, "--to", folder)
    assert isinstance(result.exception, PortwayError), result.exception
    assert said in result.exception.message


def test_both_files_are_written_or_none(tmp_path: Path) -> None:
    (tmp_path / "clients.json").write_text("mine")
    (tmp_path / "settings.py").mkdir()
    result = run(*SERVER, "--to", str(tmp_path), "--force")
    assert isinstance(result.exception, PortwayError)
    assert "settings.py cannot be written (Is a directory)" in result.exception.message
    assert (tmp_path / "clients.json").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clients.json", "settings.py"]


@pytest.mark.parametrize(
    "words", [(), ("gone.json",), (SOLO, "--setting", "idle_timeout")]
)
def test_words_that_make_no_sense_are_refused(words: tuple[str, ...]) -> None:
    assert run(*words).exit_code != 0
