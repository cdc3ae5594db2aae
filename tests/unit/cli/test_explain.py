"""``portway explain`` names the file, line, group, default or call to AWS."""

from pathlib import Path

import pytest

from portway.aws.sources import SOURCES, source
from portway.render.variation import stack_values
from tests.unit import samples
from tests.unit.cli.project import answer, call, make


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def explained(*words: str) -> list[str]:
    result = call("explain", *words)
    assert result.exit_code == 0, result.output + str(result.exception)
    return [line.strip() for line in result.stdout.splitlines()]


def test_setting_is_named_with_file_line_group_and_what_it_hides() -> None:
    assert explained("threads")[:4] == [
        "threads = 6",
        "setting threads = 6: group_data/prod.py:2, group prod",
        "hides",
        "setting threads = 4: group_data/all.py:2, group all",
    ]


def test_default_is_told_as_such_with_the_meaning() -> None:
    value, place, meaning = explained("drain_timeout")
    assert (value, place) == (
        "drain_timeout = 30",
        "setting drain_timeout = 30: default",
    )
    assert meaning.startswith("Seconds that a node's streams get to end")


def test_groups_with_different_values_are_told_apart(project: Path) -> None:
    (project / "group_data" / "app_nodes.py").write_text("lease_wait = 7\n")
    lines = explained("lease_wait")
    at = lines.index("inventories/prod.py, app_nodes, prod:")
    assert lines[at + 1] == "lease_wait = 7"
    assert "lease_wait = 0" in lines


def test_field_of_a_client_is_named_with_its_line() -> None:
    assert explained("two.idle_timeout")[1] == (
        "client two.idle_timeout = 60: clients.json:6"
    )


def test_absent_field_is_followed_to_the_setting_that_counts(project: Path) -> None:
    make(
        project,
        group_data_prod_py='clients_file = "clients.json"\nbalance = "source"\n',
    )
    assert explained("one.balance")[1:3] == [
        "client one.balance = null: default",
        'setting balance = "source": group_data/prod.py:2, group prod',
    ]


def test_client_is_explained_with_all_that_the_file_says() -> None:
    assert explained("two")[1:] == [
        'client two.client_name = "two": clients.json:4',
        "client two.client_port = 9002: clients.json:4",
        'client two.allow = ["192.0.2.0/24"]: clients.json:5',
        "client two.idle_timeout = 60: clients.json:6",
    ]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("clients.json:5", 'two.allow = ["192.0.2.0/24"]'),
        ("clients.json:3", "client one"),
        ("group_data/prod.py:2", "threads = 6"),
    ],
)
def test_line_of_a_file_is_explained(place: str, expected: str) -> None:
    assert explained(place)[0] == expected


@pytest.mark.parametrize("start", [".", "group_data/..", "{here}"])
def test_file_is_known_by_any_path_that_leads_to_it(start: str, project: Path) -> None:
    start = start.format(here=project)
    assert explained(f"{start}/group_data/prod.py:2")[0] == "threads = 6"
    assert explained(f"{start}/clients.json:3")[0] == "client one"


def test_file_here_that_has_nothing_to_explain_is_told(project: Path) -> None:
    result = call("explain", f"{project}/inventories/prod.py:1")
    assert "no setting and no client is on that line" in str(result.exception)


def test_clients_file_is_known_by_its_name_alone(project: Path) -> None:
    (project / "elsewhere").mkdir()
    (project / "clients.json").rename(project / "elsewhere" / "clients.json")
    make_settings = 'clients_file = "elsewhere/clients.json"\n'
    (project / "group_data" / "prod.py").write_text(make_settings)
    assert explained("clients.json:5")[0] == 'two.allow = ["192.0.2.0/24"]'


def test_line_on_a_node_is_followed_to_files_and_calls() -> None:
    call("render", "--node", "lb-1", "--from", "saved.json")
    rendered = Path("rendered/lb-1/etc/haproxy/haproxy.cfg").read_text().splitlines()

    def number(text: str) -> int:
        return next(n for n, line in enumerate(rendered, 1) if text in line)

    def inputs(text: str) -> list[str]:
        where = f"/etc/haproxy/haproxy.cfg:{number(text)}"
        return explained(where, "--node", "lb-1", "--from", "saved.json")

    assert inputs("nbthread")[1:] == [
        "nbthread 6",
        "setting threads = 6: group_data/prod.py:2, group prod",
    ]
    address = 'stack nodes.app-2.address = "10.60.0.16": ec2:DescribeInstances'
    assert address in inputs("server app-2")
    assert inputs("user haproxy")[-1] == (
        "no setting, client or value of the stack changes it: "
        "templates/haproxy.cfg.j2:6"
    )


def test_value_of_the_stack_is_named_with_its_call() -> None:
    found = answer("explain", "stack.ports.health", "--from", "saved.json")
    (explanation,) = found["explanations"]
    (origin,) = explanation["origins"]
    assert origin["value"] == "8081"
    assert origin["place"] == "cloudformation:DescribeStacks, output HealthPort"


def test_every_value_of_the_stack_has_a_source_and_every_source_a_value() -> None:
    paths = stack_values(samples.stack())
    used = {source(path) for path in paths}
    assert used == set(SOURCES.values())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("drain_tiemout",), 'no client; did you mean "drain_timeout"?'),
        (("clients.json:99",), "no setting and no client is on that line"),
        (("/etc/haproxy/haproxy.cfg:1",), "Name an inventory, or a file with --from."),
        (
            ("/etc/haproxy/haproxy.cfg:1", "--from", "saved.json"),
            "Name the node that has the file with --node.",
        ),
        (("stack.prots", "--from", "saved.json"), "unknown key"),
    ],
)
def test_what_cannot_be_explained_is_told(
    words: tuple[str, ...], expected: str
) -> None:
    result = call("explain", *words)
    assert result.exit_code != 0
    assert expected in result.output + str(result.exception)
