"""``portway save`` and ``portway render``, against an account with the stack."""

import filecmp
import json
import os
import subprocess
import sys
from pathlib import Path

from portway.model.saved import read_saved
from tests.integration.conftest import STACK, Account, Discovery

PROJECT = Path(__file__).parents[3]
INVENTORY = "inventories/prod.py"


def portway(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "portway.cli.main", *map(str, words)),
        cwd=PROJECT,
        env={**os.environ, "PORTWAY_STACK": STACK, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_saved_stack_is_what_aws_says_and_renders_as_it_does(
    stack: Account, discover: Discovery, tmp_path: Path
) -> None:
    file = tmp_path / "saved.json"
    result = portway("save", INVENTORY, file)
    assert result.returncode == 0, result.stderr
    saved = read_saved(file)
    assert saved.stack == discover()
    assert saved.groups["lb-1"] == ("load_balancers", "prod")
    assert set(saved.groups) == {node.name for node in saved.stack.nodes}

    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    offline = portway(
        *("render", "--node", "lb-1", "--from", file, "--to", tmp_path / "saved"),
        **nowhere,
    )
    assert offline.returncode == 0, offline.stderr
    asked = ("render", INVENTORY, "--node", "lb-1", "--to", tmp_path / "asked")
    assert portway(*asked).returncode == 0
    written = [
        str(file.relative_to(tmp_path / "saved"))
        for file in (tmp_path / "saved").rglob("*")
        if file.is_file()
    ]
    assert len(written) > 20
    same, *others = filecmp.cmpfiles(
        tmp_path / "saved", tmp_path / "asked", written, shallow=False
    )
    assert (len(same), others) == (len(written), [[], []])

    check = portway("check", "--from", file, **nowhere)
    assert check.returncode == 0, check.stdout


def test_nothing_is_saved_of_a_stack_that_is_not_there(
    account: Account, tmp_path: Path
) -> None:
    file = tmp_path / "saved.json"
    result = portway("save", INVENTORY, file, "--json")
    assert result.returncode == 1
    assert (
        f"stack {STACK}: there is no such stack" in json.loads(result.stdout)["error"]
    )
    assert not file.exists()
