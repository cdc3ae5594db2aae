"""What the timer starts every minute must cost nearly nothing."""

import json
import subprocess
import sys

import pytest

LOADED = """
import json, os, sys
from portway.agent import metrics
from portway.agent.memory import Files
from portway.cli.agent import command
os.geteuid = lambda: 0
Files.why_idle = lambda *_: {why!r}
metrics.save = lambda *_: None
try:
    command(["turn", "--stack", "one", "--region", "eu-central-1", "inventories/x.py"])
finally:
    print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules)))
"""


@pytest.mark.parametrize("why", ["", "suspended by anna: tests"])
def test_turn_without_a_run_loads_nothing_that_runs_need(why: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(why=why)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == why
    loaded = set(json.loads(done.stdout))
    assert loaded & {"pyinfra", "gevent", "boto3", "botocore", "pydantic"} == set()
    assert "click" in loaded


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [
        ("unattended", {"pyinfra", "gevent", "paramiko", "jinja2"}),
        ("running", {"pyinfra", "gevent", "paramiko", "jinja2", "boto3"}),
    ],
)
def test_what_starts_a_run_loads_nothing_that_the_run_loads_itself(
    module: str, unneeded: set[str]
) -> None:
    """The run is a process of its own."""
    code = f"import sys, portway.agent.{module}; print(*sys.modules)"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert unneeded & {name.partition(".")[0] for name in done.stdout.split()} == set()
