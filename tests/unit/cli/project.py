"""A project folder for tests of verbs, with a saved stack."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from portway.cli.main import portway
from portway.model.saved import to_json
from tests.unit import samples

PROJECT = Path(__file__).parents[3]
FILES: Mapping[str, str] = {
    "inventories/prod.py": (
        "from portway.run.inventory import app_nodes as _app_nodes\n"
        "from portway.run.inventory import load_balancers as _load_balancers\n"
        'load_balancers = _load_balancers("portway-test", "eu-central-1")\n'
        'app_nodes = _app_nodes("portway-test", "eu-central-1")\n'
    ),
    "group_data/all.py": 'ssh_user = "admin"\nthreads = 4\n',
    "group_data/prod.py": 'clients_file = "clients.json"\nthreads = 6\n',
    "clients.json": (
        "// who sends to us\n"
        '{"clients": [\n'
        '  {"client_name": "one", "client_port": 9001},\n'
        '  {"client_name": "two", "client_port": 9002,\n'
        '   "allow": ["192.0.2.0/24"],\n'
        '   "idle_timeout": 60}\n'
        "]}\n"
    ),
    "saved.json": to_json(samples.saved(samples.stack())),
}


def make(folder: Path, **changed: str) -> None:
    """Write the files, some with other texts: slashes and dots in names are ``_``."""
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        key = name.replace("/", "_").replace(".", "_")
        file.write_text(changed.pop(key, text))
    assert not changed, f"no such file: {changed}"


def call(*words: str) -> Result:
    """Call a verb in the current folder."""
    return CliRunner().invoke(portway, words)


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call Python in a process of its own, which finds Portway."""
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        check=False,
        capture_output=True,
        text=True,
    )


def answer(*words: str) -> dict[str, Any]:
    """What a verb prints with ``--json``."""
    result = call(*words, "--json")
    assert not result.stderr, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found
