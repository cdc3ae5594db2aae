"""Bash completes names of what is in the files here, by the script that click makes."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portway.model.clients import Client
from portway.model.settings import Settings
from tests.unit.cli.project import PROJECT, make, python

READY = "READY> "
ALL = "\x1b*"
"""What has readline put in all that could be completed, as a person sees it listed."""
PORTWAY = """\
#!{python}
import sys
sys.path.insert(0, "{project}")
from portway.cli.main import main
main()
"""


class Bash:
    """A bash on a terminal, in the folder of a project."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._terminal, end = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-i"],
            cwd=folder,
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "PS1": READY,
                "TERM": "dumb",
                "INPUTRC": "/dev/null",
                "COLUMNS": "5000",  # lines of any length, as one
            },
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
        )
        os.close(end)
        self._until(READY)

    def _until(self, text: str, seconds: float = 30) -> str:
        seen, deadline = "", time.monotonic() + seconds
        while not seen.endswith(text):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._terminal], [], [], max(left, 0))
            assert ready, f"no {text!r} within {seconds} s, but {seen!r}"
            seen += os.read(self._terminal, 65536).decode()
        return seen

    def type(self, keys: str) -> str:
        """What is on the terminal when the line that they end has been carried out."""
        os.write(self._terminal, keys.encode())
        return self._until(f"\n{READY}")

    def completed(self, line: str, key: str = "\t") -> str:
        """What becomes of a line when the key is pressed at its end."""
        # A command before it (C-a) and after it (C-e), which print its words.
        shown = self.type(f"{line}{key}\x01printf '<%s>' \x05 ; echo\n")
        assert "loud" not in shown, "files of settings print beside it"
        assert "cannot be read" not in shown, "errors do, too"
        (words,) = re.findall(r"\n<(.*)>\n", shown.replace("\r", ""))
        return str(words).replace("><", " ")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    """With what the document says that ``~/.bashrc`` has."""
    folder = tmp_path_factory.mktemp("project")
    make(folder, group_data_all_py='print("loud")\nthreads = 4\nno_setting = 1\n')
    (folder / "deploys").mkdir()
    (folder / "deploys" / "lb.py").touch()
    programs = tmp_path_factory.mktemp("programs")
    program = programs / "portway"
    program.write_text(PORTWAY.format(python=sys.executable, project=PROJECT))
    program.chmod(0o755)
    document = (PROJECT / "docs" / "command.md").read_text()
    line = document.partition("`~/.bashrc`:\n\n```text\n")[2].partition("\n```")[0]
    started = Bash(folder, programs)
    assert "rror" not in started.type(f"{line}\n")
    yield started
    started.close()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("portway expl", "portway explain"),
        ("portway explain drain_t", "portway explain drain_timeout"),
        ("portway explain two.idle_", "portway explain two.idle_timeout"),
        (
            "portway explain --from saved.json stack.ports.he",
            "portway explain --from saved.json stack.ports.health",
        ),
        ("portway explain group_data/p", "portway explain group_data/prod.py"),
        ("portway status --client tw", "portway status --client two"),
        ("portway drift inv", "portway drift inventories/prod.py"),
        (
            "portway drift inventories/prod.py dep",
            "portway drift inventories/prod.py deploys/lb.py",
        ),
        ("portway check cl", "portway check clients.json"),
        ("portway render --from gone --node l", "portway render --from gone --node l"),
    ],
)
def test_name_is_completed(bash: Bash, typed: str, completed: str) -> None:
    assert bash.completed(typed) == completed


def test_all_nodes_of_the_saved_stack_are_offered(bash: Bash) -> None:
    nodes = ["lb-1", "lb-2", "app-1", "app-2"]
    for start in ("render --node", "explain /x:1 --from saved.json --node"):
        line = f"portway {start} "
        assert set(bash.completed(line, ALL).removeprefix(line).split()) == {*nodes}


def test_all_that_explain_knows_by_name_is_offered(bash: Bash) -> None:
    line = "portway explain "
    offered = bash.completed(line, ALL).removeprefix(line).split()
    assert {*offered} == {*Settings.model_fields, "one", "two"}
    offered = bash.completed(f"{line}one.", ALL).removeprefix(line).split()
    assert {*offered} == {f"one.{field}" for field in Client.model_fields}


COMPLETE = (
    "import sys; sys.argv[0] = 'portway'\n"
    "from portway.cli.main import main\n"
    "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)\n"
)


def test_completing_loads_neither_pyinfra_nor_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = python(
        "-c",
        COMPLETE,
        _PORTWAY_COMPLETE="bash_complete",
        COMP_WORDS="portway explain --from saved.json stack.ports.he",
        COMP_CWORD="4",
    )
    assert result.stdout == "plain,stack.ports.health\n"
    loaded = {name.partition(".")[0] for name in result.stderr.split()}
    assert "pydantic" in loaded, "the names of modules are there"
    assert not loaded & {"pyinfra", "pyinfra_cli", "boto3", "botocore", "gevent"}
