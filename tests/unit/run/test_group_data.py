"""``group_data/`` is read as pyinfra reads it, and each value's place is known."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portway.errors import PortwayError
from portway.run.group_data import inventory_groups, read_group_data

FILES = {
    "inventories/prod.py": (
        'load_balancers = [name for name in ["lb-1"]]\n'
        'app_nodes: list[str] = ["app-1"]\n_x = 1\n'
    ),
    "group_data/all.py": (
        "import os\nfrom os import environ as _environ, sep\n"
        'ssh_user = "admin"\nthreads = 4\nbalance = "first"\n_private = os.sep\n'
    ),
    "group_data/prod.py": (
        '"""Production."""\n\nclients_file = "clients.json"\nthreads: int = 6\n'
        "idle_timeout = health_fall = 7\n"
    ),
    "group_data/app_nodes.py": "threads = 8\nlease_wait = 9\ndrain_timeout = 1\n",
    "group_data/load_balancers.py": (
        '__all__ = ["lease_wait"]\nlease_wait = 3\nthreads = 1\n'
    ),
    "group_data/nobody.py": "threads = 64\n",
    "group_data/notes.txt": "threads =",
    "inventories/group_data/prod.py": "drain_timeout = 99\n",
}
READ_BY_PYINFRA = """
import json, os, sys
from pyinfra_cli.inventory import make_inventory
from pyinfra.api import State
from pyinfra.context import ctx_state
with ctx_state.use(State()):
    found = make_inventory("inventories/prod.py", cwd=os.getcwd())
json.dump({host.name: host.data.dict() for host in found}, sys.stdout)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_by_portway() -> dict[str, dict[str, Any]]:
    data = read_group_data(Path("inventories/prod.py"))
    chains = inventory_groups(Path("inventories/prod.py"))
    assert chains == (("load_balancers", "prod"), ("app_nodes", "prod"))
    return {
        name: {key: found[-1].value for key, found in data.assigned(groups).items()}
        for name, groups in zip(("lb-1", "app-1"), chains, strict=True)
    }


def test_every_variable_is_what_pyinfra_gives_the_host(project: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", READ_BY_PYINFRA],
        check=True,
        capture_output=True,
        text=True,
    )
    expected = json.loads(answer.stdout)
    assert expected["lb-1"]["threads"] == 6, "the inventory's own group counts most"
    assert expected["app-1"]["drain_timeout"] == 99
    assert read_by_portway() == expected


def test_each_value_is_known_with_its_place_and_those_it_hides(project: Path) -> None:
    assigned = read_group_data(Path("inventories/prod.py")).assigned(
        ("app_nodes", "prod")
    )
    assert [(a.place, a.group, a.value) for a in assigned["threads"]] == [
        ("group_data/all.py:4", "all", 4),
        ("group_data/app_nodes.py:1", "app_nodes", 8),
        ("group_data/prod.py:4", "prod", 6),
    ]
    assert assigned["health_fall"][-1].place == "group_data/prod.py:5"
    inner = assigned["drain_timeout"][-1].place
    assert inner == "inventories/group_data/prod.py:1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("threads =", "group_data/nobody.py: line 1: is not valid Python"),
        ("\nthreads = 1 / 0", "line 2: raises ZeroDivisionError: division by zero"),
        ("\nexit(3)", "line 2: raises SystemExit: 3"),
        ("\n__all__ = 5", "line 2: __all__ is no list of names"),
        ("__all__ = [5]", "line 1: __all__ is no list of names"),
        ('__all__ = "threads"', "line 1: __all__ is no list of names"),
    ],
)
def test_file_that_python_refuses_is_named_with_its_line(
    text: str, expected: str, project: Path
) -> None:
    (project / "group_data" / "nobody.py").write_text(text)
    (project / "group_data" / "all.py").write_text("boom")
    with pytest.raises(PortwayError) as refused:
        read_group_data(Path("inventories/prod.py"))
    assert expected in refused.value.message
    assert "all.py: line 1: raises NameError" in refused.value.message


def test_what_files_print_is_beside_the_answer(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "group_data" / "nobody.py").write_text('print("hello")')
    read_group_data(Path("inventories/prod.py"))
    assert capfd.readouterr() == ("", "hello\n")
