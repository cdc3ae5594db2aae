"""Which programs of a release the commands name for sure."""

import subprocess
from pathlib import Path

import pytest

from portway.application.trial_message import trial_command
from portway.model.listeners import Listener
from portway.model.settings import settings_from
from portway.render.application import named_programs

PORT = 9001


def programs(**commands: str) -> tuple[str, ...]:
    return named_programs(settings_from({"clients_file": "c.json", **commands}))


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("bin/send {port}", ("bin/send",)),
        ("bin/send;true", ("bin/send",)),
        ("bin/send>/dev/null", ("bin/send",)),
        ("bin/send&&true", ("bin/send",)),
        ("bin/send|cat", ("bin/send",)),
        ("bin/send-{port}", ()),
        ("bin/'send' {port}", ()),
        ("bin/se\\nd {port}", ()),
        ("bin/s*d {port}", ()),
        ("bin/${HOME:+send}", ()),
    ],
)
def test_test_command_that_a_shell_can_run_names_what_is_there(
    tmp_path: Path, command: str, named: tuple[str, ...]
) -> None:
    release = tmp_path / "current"
    (release / "bin").mkdir(parents=True)
    for name in ("send", f"send-{PORT}"):
        (release / "bin" / name).write_text("#!/bin/sh\n")
        (release / "bin" / name).chmod(0o755)
    listeners = [Listener("one", PORT, "tcp", send_proxy=False, name="one")]
    line = trial_command(command, listeners, str(tmp_path))
    assert line is not None
    subprocess.run(["sh", "-c", line], check=True, stdout=subprocess.DEVNULL)
    found = programs(app_command="bin/send", app_test_command=command)
    assert found == ("bin/send", *named)
    assert all((release / program).is_file() for program in found)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("bin/receiver", ("bin/receiver",)),
        ("jre-17.0/bin/java -jar a.jar", ("jre-17.0/bin/java",)),
        ("bin/my\\x20receiver -c {config}", ()),
        ("bin/receiver;", ()),
        ('bin/"receiver"', ()),
        ("bin/receiver\u00a0x", ()),
    ],
)
def test_command_of_the_unit_names_its_program_if_nothing_in_it_is_special(
    command: str, named: tuple[str, ...]
) -> None:
    assert programs(app_command=command) == named
