"""The lab's Artifactory: the vendor's releases, and the token that opens it."""

import json
import secrets
import sys
import time
from pathlib import Path

import requests

from lab.aws import stack
from lab.errors import LabError
from lab.ground import namespaces, processes, shell
from lab.plan import facts
from lab.plan.files import write_whole
from lab.plan.names import AWS, Lab
from lab.plan.project import PROJECT
from lab.vendor.build import archive_path, build

ARTIFACTORY = "artifactory"
REPOSITORY = "releases"
VERSIONS = ("1.0.0", "2.0.0", "2.0.1")
START_SECONDS = 15.0


def folder(lab: Lab) -> Path:
    """What is served: a folder for each repository."""
    return lab.directory / ARTIFACTORY / "repositories"


def faults_file(lab: Lab) -> Path:
    """Where tests ask for failures; without the file there are none."""
    return lab.directory / ARTIFACTORY / "faults.json"


def ensure(lab: Lab, *, with_secret: bool) -> None:
    """Have the releases built and served; use it in the operator's namespace.

    Without the secret, whoever needs it makes it from the token's file.
    """
    token = token_file(lab)
    if not token.exists():
        token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(token, secrets.token_urlsafe(32), 0o600)
    for version in VERSIONS:
        if not (folder(lab) / REPOSITORY / archive_path(version)).exists():
            build(version, folder(lab) / REPOSITORY)
    if with_secret:
        _put_secret(token.read_text())
    if not _answers():
        _start(lab, token)


def token_file(lab: Lab) -> Path:
    """The token that the server asks for."""
    return lab.directory / ARTIFACTORY / "token"


def _put_secret(token: str) -> None:
    client = stack.client("secretsmanager")
    content = json.dumps({"token": token})
    listed = client.list_secrets(
        Filters=[{"Key": "name", "Values": [facts.ARTIFACTORY_SECRET]}]
    )
    if not listed["SecretList"]:
        client.create_secret(Name=facts.ARTIFACTORY_SECRET, SecretString=content)


def _start(lab: Lab, token: Path) -> None:
    group = processes.cgroup(lab, ARTIFACTORY)
    processes.kill(group)
    log = lab.directory / "artifactory.log"
    process = shell.start(
        [
            *namespaces.inside(lab, AWS),
            *(sys.executable, "-m", "lab.artifactory.server", folder(lab)),
            *("--address", facts.ARTIFACTORY_ADDRESS, "--port", "80"),
            *("--token-file", token, "--faults-file", faults_file(lab)),
        ],
        log,
        cgroup=group,
        env={
            "PYTHONPATH": str(PROJECT),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        },
    )
    deadline = time.monotonic() + START_SECONDS
    while not _answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"the lab's Artifactory does not start: see {log}")
        time.sleep(0.05)


def _answers() -> bool:
    try:
        requests.get(facts.ARTIFACTORY_URL, timeout=2)
    except requests.ConnectionError:
        return False
    return True
