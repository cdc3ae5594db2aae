"""``portway compare``: exit statuses, the text and the JSON."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portway.cli.compare import command

OLD = "listen one\n bind 10.0.0.5:9001\n timeout client 50s\n server a 10.0.0.1:80\n"
NEW = "listen one\n bind :9001\n timeout client 1d\n server a 10.0.0.1:80\n"


@pytest.fixture
def run(tmp_path: Path) -> "Runner":
    return Runner(tmp_path)


class Runner:
    """Runs the verb with two files."""

    def __init__(self, folder: Path) -> None:
        self.old, self.new = folder / "old.cfg", folder / "new.cfg"

    def __call__(self, old: str, new: str, *options: str) -> Result:
        self.old.write_text(old)
        self.new.write_text(new)
        words = [str(self.old), "--with", str(self.new), *options]
        return CliRunner().invoke(command, words)


def test_status_is_0_for_the_same_2_for_a_difference_and_1_for_no_answer(
    run: Runner,
) -> None:
    assert run(OLD, OLD).exit_code == 0
    assert run(OLD, NEW).exit_code == 2
    assert run(OLD, NEW, "--address", "10.0.0.5").exit_code == 2
    assert run(OLD, NEW, "--address", "10.0.0.5", "--routes-only").exit_code == 0
    assert run(OLD + " cookie A insert\n", NEW).exit_code == 1
    assert run(OLD, NEW.replace("10.0.0.1", "$APP")).exit_code == 1


def test_difference_is_shown_with_whom_it_concerns(run: Runner) -> None:
    limited = NEW + " tcp-request connection reject unless { src 10.0.0.0/8 }\n"
    text = run(OLD, limited, "--address", "10.0.0.5").output
    assert "port 9001  differs" in text
    assert "route from all but 10.0.0.0/8\n        old: tcp to 10.0.0.1:80" in text
    assert (
        "timeout client from 10.0.0.0/8\n        old: 50 s\n        new: 86,400 s"
        in text
    )
    assert "ports: 1 differs" in text


def test_json_has_every_difference(run: Runner) -> None:
    found = json.loads(run(OLD, NEW, "--address", "10.0.0.5", "--json").output)
    assert found == {
        "ports": [
            {
                "port": 9001,
                "verdict": "differs",
                "old": "tcp to 10.0.0.1:80",
                "new": "tcp to 10.0.0.1:80",
                "differences": [
                    {
                        "what": "timeout client",
                        "old": "50 s",
                        "new": "86,400 s",
                        "routes": False,
                        "sources": "all",
                        "addresses": "all",
                    }
                ],
                "unknown": [],
            }
        ],
        "unread": [],
    }


@pytest.mark.parametrize(
    ("old", "new", "options", "said"),
    [
        (OLD, NEW, ("--address", "lb.example.com"), "not an IPv4 address"),
        ("", NEW, (), "is empty"),
        ("global\n", "defaults\n", (), "there is nothing to compare"),
        (OLD, OLD, ("--address", "10.0.0.6"), "listen on no port of 10.0.0.6"),
    ],
)
def test_what_cannot_be_compared_is_said(
    run: Runner, old: str, new: str, options: tuple[str, ...], said: str
) -> None:
    assert said in str(run(old, new, *options).exception)
