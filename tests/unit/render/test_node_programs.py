"""Programs on nodes are replaced as a whole, whenever they are started."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from portway.contract.paths import BEFORE_RELOAD, INSTALLER, PYTHON_FOLDER
from portway.render import (
    address_mover,
    application,
    check,
    load_balancer,
    node_programs,
    streams,
)
from portway.render.files import ManagedFile
from portway.render.node_programs import node_program
from tests.unit import samples

CLUSTER = samples.cluster()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of Portway that node programs are made from."""
    copy = tmp_path / "portway"
    shutil.copytree(node_programs.PACKAGE, copy)
    monkeypatch.setattr(node_programs, "PACKAGE", copy)
    node_program.cache_clear()
    yield copy
    node_program.cache_clear()


def programs() -> dict[str, tuple[ManagedFile, ...]]:
    """The files of each program of a load balancer, as they would be written now."""
    node_program.cache_clear()
    return {
        "mover": address_mover.address_files(CLUSTER, CLUSTER.load_balancers[0]),
        "check": check.check_files(CLUSTER),
        "keeper": streams.streams_files(CLUSTER),
        "before reload": load_balancer.before_reload_files(),
    }


def modules(files: tuple[ManagedFile, ...]) -> set[str]:
    return {file.path for file in files if file.path.startswith(str(PYTHON_FOLDER))}


@pytest.mark.parametrize(
    ("module", "changed"),
    [
        ("node/address/mover.py", {"mover"}),
        ("node/streams/ordered.py", {"keeper"}),
        ("node/host.py", {"mover", "check", "keeper"}),
        ("contract/paths.py", {"mover", "check", "keeper", "before reload"}),
    ],
)
def test_a_change_moves_whole_programs_and_no_other(
    package: Path, module: str, changed: set[str]
) -> None:
    before = programs()
    path = package / module
    path.write_text(path.read_text() + "\n# Another version.\n")
    after = programs()

    for name, files in before.items():
        if name in changed:
            assert not modules(files) & modules(after[name]), name
        else:
            assert after[name] == files


def test_whatever_starts_a_program_is_written_after_its_modules_and_names_them() -> (
    None
):
    for name, files in programs().items():
        (folder,) = {
            Path(path).relative_to(PYTHON_FOLDER).parts[0] for path in modules(files)
        }
        own = str(PYTHON_FOLDER / folder)
        starters = [f for f in files if own in f.content]
        assert starters, name
        first = min(files.index(f) for f in starters)
        assert {f.path for f in files[:first]} == modules(files), name
        assert not any(
            str(PYTHON_FOLDER) in f.content.replace(own, "") for f in starters
        ), name


def test_installer_and_hook_name_their_own_folders() -> None:
    for path, files in (
        (INSTALLER, application._installer()),
        (BEFORE_RELOAD, load_balancer.before_reload_files()),
    ):
        (launcher,) = (file for file in files if file.path == str(path))
        (folder,) = {
            Path(module).parents[1]
            for module in modules(files)
            if module.endswith("portway/__init__.py")
        }
        assert f'"{folder}"' in launcher.content
