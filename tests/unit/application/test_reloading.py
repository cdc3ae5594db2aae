"""What a failed reload leaves on a node, tried in a folder."""

import grp
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from portway.application.reloading import forget_script, go_back_script, keep_script
from portway.ops.operations import write_script
from portway.render.files import ManagedFile
from tests.unit.application.test_pending import RELOAD, put, wanted

CONFIG = "/etc/message-app/message-app.conf"
LISTENERS = "/etc/message-app/listeners"
RECORD = "/run/portway/loaded/message-app"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node whose process has loaded what is there."""
    put(tmp_path, CONFIG, "old\n")
    put(tmp_path, LISTENERS, "old ports\n")
    loaded = subprocess.check_output(["sha256sum"], input=b"old\n").decode()
    put(tmp_path, RECORD, f"{'a' * 64}  -\n{loaded}# ports\n")
    return tmp_path


def run(folder: Path, script: str) -> str:
    for path in ("/etc/", "/run/"):
        script = script.replace(path, f"{folder}{path}")
    return subprocess.check_output(
        ["sh", "-c", f"systemctl() {{ :; }}\n{script}"], text=True
    )


def contents(folder: Path) -> dict[str, str]:
    files = (folder / "etc/message-app").iterdir()
    return {path.name: path.read_text() for path in files}


def test_previous_configuration_is_put_back(node: Path) -> None:
    before = contents(node)
    for path in (CONFIG, LISTENERS):
        os.utime(node / path[1:], (0, 0))
    run(node, keep_script(wanted(**RELOAD)))
    for path in (CONFIG, LISTENERS):
        owner = pwd.getpwuid(os.getuid()).pw_name
        group = grp.getgrgid(os.getgid()).gr_name
        file = ManagedFile(f"{node}{path}", "new\n", owner=owner, group=group)
        subprocess.run(["sh", "-c", write_script(file)], input=b"new\n", check=True)
    assert (node / CONFIG[1:]).read_text() == "new\n"
    assert "went back" in run(node, go_back_script(wanted(**RELOAD)))
    assert contents(node) == before


def test_nothing_is_left_of_it_after_a_good_reload(node: Path) -> None:
    before = contents(node)
    run(node, keep_script(wanted(**RELOAD)))
    assert len(contents(node)) == 4
    run(node, forget_script(wanted(**RELOAD)))
    assert contents(node) == before
    assert run(node, go_back_script(wanted(**RELOAD))) == ""


def test_configuration_that_was_never_loaded_is_not_gone_back_to(node: Path) -> None:
    put(node, CONFIG, "edited by hand, or by a run that died\n")
    run(node, keep_script(wanted(**RELOAD)))
    assert len(contents(node)) == 2
