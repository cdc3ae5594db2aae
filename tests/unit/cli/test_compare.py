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
                        "addresses": ["all"],
                    }
                ],
                "unknown": [],
            }
        ],
        "unread": [],
        "global": [],
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


def test_several_files_or_a_folder_are_refused_with_the_command_that_joins_them(
    run: Runner, tmp_path: Path
) -> None:
    run(OLD, NEW)
    words = [str(run.old), str(run.new), "--with", str(run.new)]
    said = str(CliRunner().invoke(command, words).exception)
    assert said.startswith("2 files are named")
    assert said.endswith(f"\n  cat {run.old} {run.new} > one.cfg")
    words = [str(run.old), "--with", str(run.new), "--with", str(run.new)]
    assert "2 files are named" in str(CliRunner().invoke(command, words).exception)
    said = str(CliRunner().invoke(command, [str(tmp_path), *words[1:3]]).exception)
    assert said.startswith(f"{tmp_path} is a folder")
    assert said.endswith(f"\n  cat {tmp_path}/*.cfg > one.cfg")


def test_file_that_cannot_be_read_is_said_with_what_to_do(run: Runner) -> None:
    run(OLD, NEW)
    words = ["/nowhere/old.cfg", "--with", str(run.new)]
    said = str(CliRunner().invoke(command, words).exception)
    assert "there is no file /nowhere/old.cfg\n  copy it from the load" in said
    words = ["/proc/self/mem", "--with", str(run.new)]  # not even by root
    said = str(CliRunner().invoke(command, words).exception)
    assert said.startswith("/proc/self/mem cannot be read: Input/output error\n")
    assert said.endswith("sudo cat /proc/self/mem > copy.cfg")


@pytest.mark.parametrize(
    "before", ["# gr\xfc\xdfe\n".encode("latin-1"), b"\xef\xbb\xbf"]
)
def test_comments_in_latin_1_and_a_mark_of_byte_order_are_no_obstacle(
    run: Runner, before: bytes
) -> None:
    run(OLD, OLD)
    usual = b"defaults\n timeout server 50s\n"
    run.old.write_bytes(before + usual + OLD.encode())
    run.new.write_bytes(usual + OLD.encode())
    words = [str(run.old), "--with", str(run.new)]
    assert CliRunner().invoke(command, words).exit_code == 0


def test_limit_of_the_whole_process_is_shown(run: Runner) -> None:
    found = run("global\n maxconn 5\n" + OLD, OLD)
    assert found.exit_code == 2
    assert "global differs\n    maxconn of global\n        old: 5\n" in found.output
    found = run("global\n maxconn 5\n" + OLD, OLD, "--json")
    (difference,) = json.loads(found.output)["global"]
    assert (difference["what"], difference["old"]) == ("maxconn of global", "5")


def test_addresses_are_a_list_whether_some_or_all(run: Runner) -> None:
    def addresses(old: str, new: str) -> list[object]:
        (port,) = json.loads(run(old, new, "--json").output)["ports"]
        return [one["addresses"] for one in port["differences"]]

    assert addresses(OLD, NEW) == [["any other"], ["10.0.0.5"]]
    assert addresses(NEW, NEW.replace("1d", "2d")) == [["all"]]
