"""``portway check`` finds what a run would refuse, all at once, without AWS."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from portway.render import templates
from tests.unit.cli.project import PROJECT, answer, call, make, python
from tests.unit.documents.reading import blocks

CLIENTS = 'clients_file = "clients.json"\n'
HEAVY = {"boto3", "botocore", "gevent", "jinja2", "paramiko", "pyinfra", "pyinfra_cli"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_good_files_end_with_0() -> None:
    result = call("check")
    assert (result.exit_code, result.stdout) == (
        0,
        "inventories/prod.py: no problems\n",
    )
    assert answer("check") == {"problems": [], "warnings": []}


def test_every_problem_is_told_at_once_with_its_place_and_fix(project: Path) -> None:
    make(
        project,
        group_data_all_py="threads = 4\ndrain_timeuot = 3\n",
        group_data_prod_py='clients_file = "clients.json"\nthreads = "6"\n',
        clients_json='{"clients": [{"client_name": "one", "client_port": "x"}]}',
    )
    result = call("check")
    assert result.exit_code == 2
    number = "must be a whole number without quotes, not"
    unknown = 'unknown key "drain_timeuot"; did you mean "drain_timeout"?'
    assert sorted(result.stdout.splitlines()) == [
        f'clients.json: one: client_port: {number} "x"',
        f"group_data/all.py:2: {unknown}",
        f'group_data/prod.py:2: threads: {number} "6"',
        "inventories/prod.py: 3 problems",
    ]
    problems = answer("check")["problems"]
    assert {problem["source"] for problem in problems} == {
        "clients.json",
        "group_data/all.py:2",
        "group_data/prod.py:2",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("anna@example.com ssh-ed25519 AAAA", "this has no whole key"),
    ],
)
def test_who_may_sign_releases_is_checked(
    project: Path, text: str | None, told: str
) -> None:
    """A release that lacks the file would have new nodes wait for ever."""
    make(project, group_data_prod_py=f'{CLIENTS}release_signers_file = "allowed"\n')
    if text is not None:
        (project / "allowed").write_text(text)
    found = call("check")
    assert found.exit_code == 2
    assert "release_signers_file: allowed" in found.stdout
    assert told in found.stdout


def test_template_that_is_broken_is_told_with_its_line(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever builds a release of it would have no node take it."""
    (project / "templates").mkdir()
    (project / "templates" / "sysctl.conf.j2").write_text("one\n{% if two %}\n")
    monkeypatch.setattr(templates, "TEMPLATES", project / "templates")
    templates._environment.cache_clear()
    try:
        assert call("check", "inventories/prod.py").exit_code == 0
        found = call("check")
    finally:
        templates._environment.cache_clear()
    assert found.exit_code == 2
    assert found.stdout.startswith("templates/sysctl.conf.j2: line 2: Unexpected end")


def test_settings_of_each_group_of_hosts_are_checked(project: Path) -> None:
    (project / "group_data" / "app_nodes.py").write_text("reserved_ports = [9002]\n")
    result = call("check", "inventories/prod.py")
    assert result.exit_code == 2
    assert "two: client_port 9002 is used by reserved_ports" in result.stdout


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('"client_port": 22', "client_port 22 is used by SSH"),
        ('"client_port": 1, "allow": ["::/0"]', "allow has IPv6 networks only"),
        ('"client_port": 1, "max_connections": 9000', "lower it, or raise"),
        ('"client_port": 1, "app_port": 9002, "send_proxy": true', "give one of them"),
        ('"client_port": 1, "enabled": false', "every client is disabled"),
    ],
)
def test_client_that_no_stack_would_take_is_found(
    entry: str, expected: str, project: Path
) -> None:
    other = "" if "disabled" in expected else '{"client_name":"b","client_port":9002},'
    text = f'{{"clients": [{other} {{"client_name": "a", {entry}}}]}}'
    make(project, clients_json=text)
    assert expected in call("check").stdout


def test_priorities_that_cannot_work_are_found(project: Path) -> None:
    make(project, group_data_all_py="master_priority = 150\n")
    result = call("check")
    assert result.exit_code == 2
    assert "group_data: " in result.stdout


def test_saved_stack_shows_what_only_it_can(project: Path) -> None:
    text = '{"clients": [{"client_name": "a", "client_port": 8404, "nodes": ["db"]}]}'
    make(project, clients_json=text)
    assert call("check").exit_code == 0
    result = call("check", "--from", "saved.json")
    assert result.exit_code == 2
    assert "a: client_port 8404 is used by the statistics page" in result.stdout
    assert 'there is no application node "db"; there are app-1, app-2' in result.stdout


def test_clients_file_is_checked_by_itself(project: Path) -> None:
    (project / "new.json").write_text('{"clients": []}')
    result = call("check", "new.json")
    assert (result.exit_code, "is an empty list" in result.stdout) == (2, True)


def test_settings_that_nothing_reads_are_a_warning(project: Path) -> None:
    (project / "group_data" / "prdo.py").write_text("threads = 1\n")
    assert call("check").exit_code == 0
    (warning,) = answer("check")["warnings"]
    assert warning.startswith("group_data/prdo.py: no inventory has a group prdo")


def test_inventory_that_a_saved_stack_names_and_is_gone_is_told(project: Path) -> None:
    (project / "inventories" / "prod.py").rename(project / "inventories" / "live.py")
    for words in (["check"], ["render", "--node", "lb-1"]):
        result = call(*words, "--from", "saved.json")
        assert result.exit_code == 1
        assert "inventories/prod.py: there is no such inventory" in str(
            result.exception
        )


@pytest.mark.parametrize("name", ["clients.d.json", "inventories"])
def test_folder_instead_of_a_file_cannot_be_found_out(name: str, project: Path) -> None:
    (project / name).mkdir(exist_ok=True)
    result = python("-m", "portway.cli.main", "check", name)
    assert result.returncode == 1
    assert f"File '{name}' is a directory" in result.stderr


def test_what_files_print_is_beside_the_answer(project: Path) -> None:
    make(project, group_data_all_py='print("hello")\n')
    result = call("check", "--json")
    assert json.loads(result.stdout) == {"problems": [], "warnings": []}
    assert result.stderr == "hello\n"


def test_missing_saved_stack_cannot_be_found_out() -> None:
    result = python("-m", "portway.cli.main", "check", "--from", "no.json", "--json")
    assert result.returncode == 1
    assert "write it first: portway save INVENTORY no.json" in result.stderr
    assert list(json.loads(result.stdout)) == ["error"]


def test_hook_of_the_document_stops_a_commit(project: Path) -> None:
    document = (PROJECT / "docs" / "command.md").read_text()
    (hook,) = (b.text for b in blocks(document) if b.text.startswith("#!"))
    called = f"env PYTHONPATH={PROJECT} {sys.executable} -m portway.cli.main"
    subprocess.run(["git", "init", "--quiet"], check=True)
    file = project / ".git" / "hooks" / "pre-commit"
    file.write_text(hook.replace(".venv/bin/portway", called))
    file.chmod(0o755)

    def commit() -> subprocess.CompletedProcess[str]:
        subprocess.run(["git", "add", "."], check=True)
        who = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        return subprocess.run(
            ["git", *who, "commit", "--message", "x"],
            check=False,
            capture_output=True,
            text=True,
        )

    make(project, group_data_all_py="threads = 0\n", group_data_prod_py=CLIENTS)
    refused = commit()
    assert refused.returncode != 0
    assert "group_data/all.py:1: threads: 0 is too small" in refused.stderr
    make(project, group_data_all_py="threads = 1\n", group_data_prod_py=CLIENTS)
    assert commit().returncode == 0


def test_this_project_s_own_files_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    result = call("check")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (["check"], HEAVY - {"jinja2"}),
        (["check", "inventories/prod.py"], HEAVY),
        (["check", "--from", "saved.json"], HEAVY),
        (["render", "--node", "lb-1", "--from", "saved.json"], HEAVY - {"jinja2"}),
        (["--help"], HEAVY | {"pydantic"}),
    ],
)
def test_what_needs_no_aws_loads_little(words: list[str], unwanted: set[str]) -> None:
    program = (
        "import sys\nfrom portway.cli.main import main\n"
        f"sys.argv = ['portway', *{words}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n"
        "    print('exit', end.code, *sys.modules, file=sys.stderr)"
    )
    result = python("-c", program)
    last = result.stderr.splitlines()[-1].split()
    assert last[:2] in (["exit", "0"], ["exit", "None"]), result.stderr
    assert not {name.split(".")[0] for name in last[2:]} & unwanted
