"""The program that installs releases, run for real in a folder of its own."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from portway.contract.artifact_access import token_headers
from portway.contract.release_requests import Fetch, Switch, to_json
from portway.model.releases import Release
from portway.render.node_programs import node_program
from portway.render.templates import render
from tests.integration.artifacts import TOKEN, Artifacts

Result = subprocess.CompletedProcess[str]


def install_program(root: Path, **replaced: str) -> Path:
    """Write the program and its launcher as a node gets them, below another root."""
    found = node_program("node/releases/*.py")
    for file in found.files:
        path = root / file.path.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = file.content
        for old, new in replaced.items() if path.name == "unpacking.py" else ():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
    launcher = root / "install-release"
    python_folder = root / str(found.folder).removeprefix("/")
    launcher.write_text(render("install-release.j2", python_folder=python_folder))
    launcher.chmod(0o755)
    return launcher


@cache
def program() -> Path:
    return install_program(Path(tempfile.mkdtemp(prefix="portway-installer-")))


@pytest.fixture(scope="module", autouse=True)
def program_is_removed() -> Iterator[None]:
    yield
    shutil.rmtree(program().parent)
    program.cache_clear()


def fetch_request(
    folder: Path, release: Release, token: str | None = TOKEN, **more: Any
) -> str:
    more = {"headers": token_headers(token) if token else {}, **more}
    wanted = (release.version, release.url, release.sha256)
    return to_json(Fetch(str(folder), *wanted, **more))


def run(request: str) -> Result:
    return subprocess.run(
        [str(program())],
        input=request + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def fetch(
    folder: Path, release: Release, token: str | None = TOKEN, **more: Any
) -> Result:
    return run(fetch_request(folder, release, token, **more))


def switch(folder: Path, release: Release) -> None:
    result = run(to_json(Switch(str(folder), release.version)))
    assert result.returncode == 0, result.stderr


def refused(
    folder: Path, release: Release, token: str | None = TOKEN, **more: Any
) -> str:
    before = tree(folder)
    result = fetch(folder, release, token, **more)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert TOKEN not in result.stderr
    assert "the running version is untouched" in result.stderr
    assert tree(folder) == before
    return result.stderr


def link(folder: Path, name: str) -> str:
    return str((folder / name).readlink())


def tree(folder: Path) -> dict[str, Any]:
    """Every path below a folder, with what it is; the lock file apart."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_ino)
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }


@pytest.fixture
def folder(tmp_path: Path, artifacts: Artifacts) -> Path:
    """The application's folder, with version 1.0.0 running from it."""
    folder = tmp_path / "opt" / "message-app"
    release = artifacts.build("1.0.0")
    assert fetch(folder, release).returncode == 0
    switch(folder, release)
    return folder
