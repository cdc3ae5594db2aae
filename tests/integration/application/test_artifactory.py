"""Finding a release, over real HTTP."""

import socket
import traceback
from pathlib import Path

import pytest

from portway.application.artifact_http import ATTEMPTS
from portway.application.artifactory import find_release
from portway.contract.artifact_access import token_headers
from portway.errors import PortwayError
from portway.model.releases import Access, Release
from portway.model.settings import Settings
from tests.integration.artifacts import REPOSITORY, TOKEN, Artifacts

PATH = "message-app/1.0.0/message-app-1.0.0.tar.gz"


def find(settings: Settings, token: str | None = TOKEN) -> Release:
    access = Access(token_headers(token) if token is not None else {})
    return find_release(settings, access, sleep=lambda _: None)


def refusal(settings: Settings, token: str | None = TOKEN) -> str:
    with pytest.raises(PortwayError) as caught:
        find(settings, token)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    return caught.value.message


def test_release_is_found_with_the_checksum_that_artifactory_gives(
    artifacts: Artifacts,
) -> None:
    built = artifacts.build("1.0.0")
    assert find(artifacts.settings()) == built
    assert artifacts.served.requests == [
        f"GET /artifactory/api/storage/{REPOSITORY}/{PATH}"
    ]


def test_pinned_checksum_that_agrees_is_taken(artifacts: Artifacts) -> None:
    built = artifacts.build("1.0.0")
    assert find(artifacts.settings(artifact_sha256=built.sha256)) == built


def test_pinned_checksum_that_differs_is_refused(artifacts: Artifacts) -> None:
    artifacts.build("1.0.0")
    text = refusal(artifacts.settings(artifact_sha256="a" * 64))
    assert "artifact_sha256 in group_data is aaaa" in text
    assert PATH in text


def test_pinned_checksum_does_without_one_from_artifactory(
    artifacts: Artifacts,
) -> None:
    built = artifacts.build("1.0.0")
    artifacts.go_wrong(checksum="none")
    assert find(artifacts.settings(artifact_sha256=built.sha256)) == built
    text = refusal(artifacts.settings())
    assert "gives no SHA-256" in text


def test_unknown_version_names_version_and_path(artifacts: Artifacts) -> None:
    text = refusal(artifacts.settings())
    assert "message-app 1.0.0" in text
    assert f"has no {REPOSITORY}/{PATH}" in text


@pytest.mark.parametrize("token", ["wrong", None])
def test_refused_token_names_its_secret(artifacts: Artifacts, token: str) -> None:
    artifacts.build("1.0.0")
    assert "the secret portway/artifactory" in refusal(artifacts.settings(), token)


def test_missing_token_names_the_setting(artifacts: Artifacts) -> None:
    artifacts.build("1.0.0")
    settings = artifacts.settings(artifactory_token_secret=None)
    assert "artifactory_token_secret in group_data" in refusal(settings, None)


def test_busy_server_is_asked_again(artifacts: Artifacts) -> None:
    built = artifacts.build("1.0.0")
    artifacts.go_wrong(fail_first=ATTEMPTS - 1)
    assert find(artifacts.settings()) == built


def test_server_that_stays_broken_is_given_up(artifacts: Artifacts) -> None:
    artifacts.build("1.0.0")
    artifacts.go_wrong(status=500)
    assert "answers HTTP 500" in refusal(artifacts.settings())
    assert len(artifacts.served.requests) == ATTEMPTS


def test_unreachable_server_is_named(artifacts: Artifacts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = artifacts.settings(
        artifactory_url=f"http://127.0.0.1:{port}/artifactory"
    )
    text = refusal(settings)
    assert "cannot be reached" in text
    assert "Connection refused" in text


def test_folder_in_place_of_an_archive_is_told(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    (artifacts.folder / "message-app").mkdir(parents=True)
    settings = artifacts.settings(artifactory_url=artifacts.url + "/api")
    assert "has no" in refusal(settings)


def test_missing_settings_are_told_all_at_once() -> None:
    text = refusal(Settings(clients_file="clients.json"))
    for name in ("app_version", "artifactory_url", "artifactory_repository"):
        assert f'"{name}" is missing' in text
