"""A release is built of a commit, the same each time, and runs with Python alone."""

import json
import os
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from portway.agent.building import Built, build
from portway.contract.archives import DEBIAN, Environment, Manifest
from portway.errors import PortwayError
from tests.integration.agent.checkouts import commit, git, original, shared

__all__ = ["original"]

PYTHON = "/usr/bin/python3"
"""What a release starts with."""


def here() -> str:
    """The name of this machine among those that releases are for."""
    asked = [PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    wanted = Environment(version.strip(), platform.machine())
    return next(name for name, found in DEBIAN.items() if found == wanted)


@pytest.fixture
def checkout(original: Path, tmp_path: Path) -> Path:
    """A clone of it that needs one small package."""
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(original), str(folder))
    lock = (folder / "requirements.txt").read_text()
    start = lock.index("\nsix==")
    (folder / "requirements.txt").write_text(lock[start : lock.index("\ntype", start)])
    commit(folder)
    return folder


@pytest.fixture(scope="module")
def built(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    def make(folder: Path) -> None:
        built = build(original, [here()], folder, uncommitted=False)
        told = {"version": built.version, "sha256": built.sha256, "size": built.size}
        (folder / "built.json").write_text(json.dumps(told))

    folder = shared(tmp_path_factory, f"release-{here()}", make)
    (file,) = folder.glob("*.tar")
    return Built(file, **json.loads((folder / "built.json").read_text()))


@pytest.fixture
def release(built: Built, tmp_path: Path) -> Path:
    """A release as it lies where it was unpacked."""
    with tarfile.open(built.file) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / f"portway-{built.version}"


def start(release: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Start a program of a release with no network and nothing from here."""
    return subprocess.run(
        ["unshare", "--net", str(release / "bin" / name), *words],
        cwd=release / "project",
        env={"PATH": "/usr/bin:/bin", "HOME": str(release.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_runs_with_the_machines_python_and_no_network(
    release: Path, original: Path
) -> None:
    checked = start(release, "portway", "check", "--json")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert json.loads(checked.stdout)["problems"] == []
    made = release.parent / "made"
    deploy = (
        "from pyinfra.operations import files\nfiles.directory({!r}, _sudo=False)\n"
    )
    (release / "project" / "deploys" / "own.py").write_text(deploy.format(str(made)))
    ran = start(release, "pyinfra", "-y", "@local", "deploys/own.py")
    assert ran.returncode == 0, ran.stderr
    assert made.is_dir()
    code = "from portway.run.checkout import read_checkout; print(read_checkout())"
    path = f"{release}/project:{release}/environments/{here()}"
    told = subprocess.run(
        [PYTHON, "-c", code],
        cwd=release,
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert git(original, "rev-parse", "HEAD")[:12] in told


def test_it_has_what_a_run_reads_and_no_more(release: Path) -> None:
    have = {path.name for path in (release / "project").iterdir()}
    assert {"deploys", "group_data", "inventories", "portway", "templates"} <= have
    assert not have & {"tests", "lab", "docs", ".git"}


def test_whoever_starts_it_first_unpacks_for_all(release: Path) -> None:
    words = ("sh", "-c", 'umask 077; exec "$@"', "sh")
    project = release / "project"
    command = [*words, str(release / "bin" / "portway"), "check"]
    subprocess.run(command, cwd=project, env={"PATH": "/usr/bin:/bin"}, check=True)
    for path in (release / "environments").rglob("*"):
        if "__pycache__" not in path.parts:  # who cannot read it does without
            assert path.stat().st_mode & 0o004, path


def test_active_virtual_environment_does_not_come_first(
    release: Path, tmp_path: Path
) -> None:
    asked = [PYTHON, "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"]
    version = subprocess.check_output(asked, text=True).strip()
    packages = tmp_path / "venv" / "lib" / version / "site-packages"
    (packages / "boto3").mkdir(parents=True)
    (packages / "boto3" / "__init__.py").write_text("raise SystemExit('theirs')\n")
    deploys = release / "project" / "deploys"
    (deploys / "own.py").write_text("import boto3\n")
    done = subprocess.run(
        [str(release / "bin" / "pyinfra"), "-y", "@local", "deploys/own.py"],
        cwd=deploys.parent,
        env={"PATH": "/usr/bin:/bin", "VIRTUAL_ENV": str(tmp_path / "venv")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "theirs" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


def test_two_that_start_at_once_for_the_first_time_both_do(release: Path) -> None:
    command = [str(release / "bin" / "portway"), "check"]
    project = release / "project"
    both = [subprocess.Popen(command, cwd=project) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert [path.name for path in (release / "environments").iterdir()] == [here()]


def test_start_that_was_interrupted_is_mended_by_the_next(release: Path) -> None:
    part = release / "environments" / f".{here()}"
    part.mkdir(parents=True)
    (part / "click").write_text("half of it")
    assert start(release, "portway", "check").returncode == 0
    assert not part.exists()


def test_damaged_wheel_leaves_no_environment(release: Path) -> None:
    wheel = next((release / "wheels").glob("rich-*"))
    os.truncate(wheel, wheel.stat().st_size // 2)
    refused = start(release, "portway", "check")
    assert refused.returncode == 1
    assert "its packages cannot be unpacked" in refused.stderr
    assert not (release / "environments" / here()).exists()


def test_other_machine_is_told_what_it_is_for(release: Path) -> None:
    file = release / "release.json"
    manifest = json.loads(file.read_text())
    other = next(name for name in DEBIAN if name != here())
    manifest["wheels"] = {other: manifest["wheels"][here()]}
    file.write_text(json.dumps(manifest))
    refused = start(release, "portway", "check")
    assert refused.returncode == 1
    assert f"it is for {other}; this machine has Python" in refused.stderr


def test_same_commit_gives_the_same_bytes(checkout: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    git(tmp_path, "clone", "-q", str(checkout), str(again))
    for path in again.rglob("*"):
        if ".git" not in path.parts and path.is_file():
            os.utime(path, (0, 0))
            path.chmod(path.stat().st_mode | 0o060)
    first = build(checkout, ["debian13-amd64"], tmp_path / "a", uncommitted=False)
    second = build(again, ["debian13-amd64"], tmp_path / "b", uncommitted=False)
    assert first.sha256 == second.sha256
    assert first.file.read_bytes() == second.file.read_bytes()
    assert first.sha256[:12] in first.file.name
    (again / "group_data" / "all.py").open("a").write("# other\n")
    commit(again)
    third = build(again, ["debian13-amd64"], tmp_path / "b", uncommitted=False)
    assert third.sha256 != first.sha256


def test_each_machine_has_what_its_python_needs(checkout: Path, tmp_path: Path) -> None:
    lock = checkout / "requirements.txt"
    named = lock.read_text().replace(" \\", " ; python_version < '3.12' \\", 1)
    assert "python_version" in named
    lock.write_text(named)
    commit(checkout)
    machines = ["debian12-amd64", "debian13-amd64"]
    found = build(checkout, machines, tmp_path / "to", uncommitted=False)
    with tarfile.open(found.file) as tar:
        member = tar.extractfile(f"portway-{found.version}/release.json")
        assert member is not None
        manifest = Manifest.from_dict(json.load(member))
        names = tar.getnames()
    wheels = {name: [w[:3] for w in files] for name, files in manifest.wheels.items()}
    assert wheels == {"debian12-amd64": ["six"], "debian13-amd64": []}
    assert len([name for name in names if name.endswith(".whl")]) == 1


def refused(checkout: Path) -> str:
    """Why a release of a checkout is refused; nothing is left of it."""
    to = checkout.parent / "to"
    with pytest.raises(PortwayError) as error:
        build(checkout, ["debian13-amd64"], to, uncommitted=False)
    assert not to.exists() or not list(to.iterdir())
    return error.value.message


def test_what_git_does_not_have_is_refused_or_asked_for(checkout: Path) -> None:
    (checkout / ".gitignore").open("a").write("/group_data/own.py\n")
    commit(checkout)
    for name in ("templates/mine.j2", "group_data/own.py"):
        (checkout / name).write_text("threads = 3\n")
        assert f"not committed: {name}" in refused(checkout)
        (checkout / name).unlink()
    (checkout / "database-ca.pem").write_text("new\n")
    assert "not committed: database-ca.pem" in refused(checkout)
    to = checkout.parent / "to"
    found = build(checkout, ["debian13-amd64"], to, uncommitted=True)
    assert found.version.endswith("-changed")
    found.file.unlink()
    (checkout / "group_data" / "all.py").open("a").write("# mine\n")
    (checkout / "database-ca.pem").unlink()
    assert "not committed: group_data/all.py" in refused(checkout)
    (checkout / "templates" / "mine.j2").write_text("new\n")
    found = build(checkout, ["debian13-amd64"], to, uncommitted=True)
    with tarfile.open(found.file) as tar:
        top = f"portway-{found.version}/project"
        assert f"{top}/templates/mine.j2" in tar.getnames()
        member = tar.extractfile(f"{top}/group_data/all.py")
        assert member is not None
        assert member.read().endswith(b"# mine\n")
    assert found.version.endswith("-changed")


def test_what_is_here_only_is_not_in_the_commit_s_release(
    checkout: Path, tmp_path: Path
) -> None:
    """Git may be told not to look, or have other line ends in the folder."""
    first = build(checkout, ["debian13-amd64"], tmp_path / "a", uncommitted=False)
    git(checkout, "update-index", "--assume-unchanged", "group_data/all.py")
    (checkout / "group_data" / "all.py").write_text("threads = 3\n")
    git(checkout, "update-index", "--skip-worktree", "config.py")
    (checkout / "config.py").unlink()
    second = build(checkout, ["debian13-amd64"], tmp_path / "b", uncommitted=False)
    assert first.sha256 == second.sha256


def test_what_check_refuses_is_refused(checkout: Path) -> None:
    clients = checkout / "group_data" / "clients" / "prod.json"
    clients.write_text('{"clients": [{"client_name": "one", "client_port": 70000}]}')
    commit(checkout)
    assert "portway check refuses what the release would have" in refused(checkout)
    assert "client_port" in refused(checkout)


def test_file_that_git_has_not_is_missed_by_the_check(checkout: Path) -> None:
    clients = checkout / "group_data" / "clients" / "prod.json"
    (checkout / ".gitignore").open("a").write("/group_data/clients/prod.json\n")
    git(checkout, "rm", "-q", "--cached", "group_data/clients/prod.json")
    commit(checkout)
    assert clients.exists()
    assert "group_data/clients/prod.json" in refused(checkout)


def test_links_outside_and_submodules_are_refused(checkout: Path) -> None:
    (checkout / "templates" / "mine.j2").symlink_to("/etc/hostname")
    commit(checkout)
    assert "templates/mine.j2 is a link to /etc/hostname" in refused(checkout)
    (checkout / "templates" / "mine.j2").unlink()
    (checkout / "templates" / "mine.j2").symlink_to("../.git/config")
    commit(checkout)
    assert "templates/mine.j2 is a link to ../.git/config" in refused(checkout)
    (checkout / "templates" / "mine.j2").unlink()
    (checkout / "templates" / "mine.j2").symlink_to("haproxy.cfg.j2")
    commit(checkout)
    to = checkout.parent / "kept"
    found = build(checkout, ["debian13-amd64"], to, uncommitted=False)
    with tarfile.open(found.file) as tar:
        member = f"portway-{found.version}/project/templates/mine.j2"
        assert tar.getmember(member).isreg()
    revision = git(checkout, "rev-parse", "HEAD").strip()
    cache = f"160000,{revision},templates/other"
    git(checkout, "update-index", "--add", "--cacheinfo", cache)
    git(checkout, "commit", "-q", "-m", "submodule")
    (checkout / "templates" / "other").mkdir()
    assert "templates/other is a submodule" in refused(checkout)


def test_folder_without_git_is_refused(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    assert "is not a commit of a git repository" in refused(checkout)
    shutil.rmtree(checkout / "portway")
    assert "is no checkout of Portway" in refused(checkout)


def test_wheel_with_another_sum_is_refused(checkout: Path) -> None:
    lock = checkout / "requirements.txt"
    text = lock.read_text()
    digests = [word for word in text.split() if word.startswith("--hash=sha256:")]
    for digest in digests:
        text = text.replace(digest, f"--hash=sha256:{'0' * 64}")
    lock.write_text(text)
    commit(checkout)
    said = refused(checkout)
    assert "the wheels for Python 3.13 on x86_64 cannot be downloaded" in said
    assert "DO NOT MATCH THE HASHES" in said
