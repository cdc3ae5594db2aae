"""What a project's own files print does not get into a verb's answer."""

from pathlib import Path

import pytest

from tests.unit.cli.project import python

PROGRAM = """
from portway.cli.inventory import load_config, loader
load = loader("inventories/prod.py", ["threads=7"])
from pyinfra.api.state import State
from pyinfra.context import ctx_state
with ctx_state.use(State()):
    load_config()
    print([(host.name, host.data.threads) for host in load()])
"""


def test_what_files_print_is_beside_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "config.py": "",
        "group_data/all.py": "threads = 4",
        "inventories/prod.py": 'load_balancers = ["lb-1"]',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"print({name!r})\n{text}\n")
    result = python("-c", PROGRAM)
    assert result.stdout == "[('lb-1', 7)]\n", result.stderr
    assert set(files) <= set(result.stderr.splitlines())
