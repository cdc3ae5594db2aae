"""Every verb has what people and programs rely on."""

import json
import os
import re
import shlex
from pathlib import Path

import click
import pytest

from portway.cli.main import VERBS
from tests.unit.cli.project import call, python
from tests.unit.documents.reading import PROJECT

MAIN = ("-m", "portway.cli.main")


def verb(name: str) -> click.Command:
    found = VERBS[name][1]()
    assert found.name == name
    return found


@pytest.mark.parametrize("name", VERBS)
def test_verb_has_json_and_says_so(name: str) -> None:
    assert "--json" in call(name, "--help").stdout


@pytest.mark.parametrize("name", VERBS)
def test_help_has_an_example_that_would_work(name: str) -> None:
    found = verb(name)
    written = f"{found.help}\n{found.epilog}"
    example = re.search(rf"portway {name} .*", written)
    assert example, "its help has no example"
    words = shlex.split(example[0])
    found.make_context(name, words[2:])  # an error if it does not take them
    shown = " ".join(call(name, "--help").stdout.split())
    assert " ".join(words) in shown


@pytest.mark.parametrize("name", VERBS)
def test_json_of_each_verb_is_documented(name: str) -> None:
    document = (PROJECT / "docs" / "command.md").read_text()
    assert f"\n| `{name}` | " in document.partition("## JSON")[2]


def test_error_has_status_1_and_words() -> None:
    result = python(*MAIN, "no-such-verb", "--json")
    assert result.returncode == 1
    assert "No such command" in json.loads(result.stdout)["error"]
    assert "No such command 'no-such-verb'" in result.stderr


def test_shell_completes_verbs_options_and_files(tmp_path: Path) -> None:
    def completions(*words: str) -> list[str]:
        result = python(
            "-c",
            "import sys; sys.argv[0] = 'portway'\n"
            "from portway.cli.main import main; main()",
            _PORTWAY_COMPLETE="bash_complete",
            COMP_WORDS=" ".join(("portway", *words)),
            COMP_CWORD=str(len(words)),
        )
        return result.stdout.split()

    assert completions("ren") == ["plain,render"]
    assert completions("check", "--fr") == ["plain,--from"]
    assert completions("check", f"{tmp_path}{os.sep}") == [f"file,{tmp_path}{os.sep}"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("drift", "inventories/nowhere.py"), "there is no such inventory"),
        (("status", "inventories/nowhere.py"), "there is no such inventory"),
        (("history", "inventories/nowhere.py"), "there is no such inventory"),
        (("status", "inventories/prod.py", "--watch"), "exclude one another"),
    ],
)
def test_wrong_words_are_refused_in_words(words: tuple[str, ...], said: str) -> None:
    result = python(*MAIN, *words, "--json")
    assert result.returncode == 1
    assert said in json.loads(result.stdout)["error"]
    assert "Traceback" not in result.stderr
