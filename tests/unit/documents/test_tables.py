"""Tables in the documents say what the code says."""

import re

import portway
from lab.failover import table
from lab.failover.command import DOCUMENT, chosen
from lab.failover.pair import MOVES
from portway.aws.discovery import PORT_OUTPUTS, TEXT_OUTPUTS
from portway.contract import paths
from tests.unit.documents.commands import template
from tests.unit.documents.reading import PROJECT, blocks, section


def first_cells(text: str) -> list[str]:
    """What is in backticks in the first cells of tables."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def test_outputs_are_those_of_the_template_and_of_discovery() -> None:
    reference = (PROJECT / "docs" / "reference.md").read_text()
    listed = first_cells(section(reference, "Stack outputs"))
    assert sorted(listed) == sorted(template("cloudformation/stack.yaml")["Outputs"])
    assert set(listed[:-2]) == {*TEXT_OUTPUTS, *PORT_OUTPUTS}


def test_files_on_nodes_are_where_the_code_puts_them() -> None:
    reference = section(
        (PROJECT / "docs" / "reference.md").read_text(), "Files on nodes"
    )
    for path in (
        paths.HAPROXY_CONFIG,
        paths.KEEPALIVED_CONFIG,
        paths.ADDRESS_CONFIG,
        paths.TRANSFER,
        paths.SYSCTL_CONFIG,
        paths.NEEDRESTART_CONFIG,
        paths.CHECK_CONFIG,
        paths.STREAMS_CONFIG,
        paths.STREAMS_STATUS,
        paths.SERVER_STATES,
        paths.RELOADS,
        paths.LEASE,
        paths.DEPLOYED,
        paths.RUNS,
        paths.STANDING,
        paths.VERDICT,
        paths.ADDRESS_COMMAND,
        paths.STATUS,
        paths.INSTALLER,
        paths.PYTHON_FOLDER,
    ):
        assert f"`{path}" in reference


def failover_rows(document: str) -> dict[str, list[tuple[str, str]]]:
    """Name and description of each row of the fail-over tables, by kind of address."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for part in document.partition(table.START)[2].split("Address of kind `")[1:]:
        cells = [line.split(" | ") for line in part.splitlines() if "| " in line]
        rows[part.partition("`")[0]] = [(c[0][2:], c[1]) for c in cells[2:]]
    return rows


def test_failover_tables_have_every_scenario_and_nothing_lost() -> None:
    rows = failover_rows(DOCUMENT.read_text())
    assert rows == {
        kind: [(s.name, s.description) for s in chosen((), kind)] for kind in MOVES
    }


def test_missing_scenario_is_found() -> None:
    text = DOCUMENT.read_text()
    shorter = re.sub(r"^\| split brain .*\n", "", text, flags=re.MULTILINE)
    assert failover_rows(shorter) != failover_rows(text)


def test_floors_are_those_of_the_package() -> None:
    architecture = (PROJECT / "docs" / "architecture.md").read_text()
    lines = re.findall(r"^    (.+)$", str(portway.__doc__), re.MULTILINE)
    assert "\n".join(lines) in [block.text for block in blocks(architecture)]


def unknown_places(document: str) -> list[str]:
    """Files and parts of the template, in last cells, that do not exist."""
    parsed = template("cloudformation/stack.yaml")
    known = {
        name for part in parsed.values() if isinstance(part, dict) for name in part
    }
    cells = re.findall(r"^\|.*\| ([^|]+) \|$", document, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    return [
        name
        for name in named
        if name not in known | set(parsed) and not (PROJECT / name).exists()
    ]


def test_what_relies_on_aws_exists() -> None:
    document = (PROJECT / "docs" / "aws.md").read_text()
    assert unknown_places(document) == []
    moved = document.replace("`Ec2Endpoint`", "`portway/nowhere.py`")
    assert unknown_places(moved) == ["portway/nowhere.py"]
