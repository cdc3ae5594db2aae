"""Settings of the application: what they refuse, and how they say it."""

import pytest

from portway.errors import PortwayError
from portway.model.settings import settings_from


def refusal(**given: object) -> str:
    with pytest.raises(PortwayError) as caught:
        settings_from({"clients_file": "clients.json", **given})
    return caught.value.message


@pytest.mark.parametrize(
    "version",
    ["..", "1..2", "../1", "1/2", "/1", "", " 1", "1\n", "-1", "a" * 65, "1 2"],
)
def test_version_cannot_leave_its_folder(version: str) -> None:
    assert "app_version" in refusal(app_version=version)


@pytest.mark.parametrize("version", ["1", "1.0.0", "2024-01-31_rc1", "1.0+b7", "1~a"])
def test_usual_versions_are_taken(version: str) -> None:
    settings = settings_from({"clients_file": "c.json", "app_version": version})
    assert settings.app_version == version


@pytest.mark.parametrize(
    "path",
    ["/a", "a/", "a//b", "../a", "a/../b", "a b", "a?b", "a%2e", "a/{other}", "{"],
)
def test_artifact_path_cannot_leave_the_repository(path: str) -> None:
    assert "artifact_path" in refusal(artifact_path=path)


@pytest.mark.parametrize(
    "url",
    ["artifacts.test", "ftp://a", "https://user:pw@a", "https://a/?b", "file:///a"],
)
def test_artifactory_s_address_is_an_http_one_without_a_password(url: str) -> None:
    assert "artifactory_url" in refusal(artifactory_url=url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("app_name", "Message App"),
        ("app_name", "a/b"),
        ("app_command", "/bin/sh"),
        ("app_command", "../bin/sh"),
        ("app_command", "bin/a\nUser=x"),
        ("app_writable_folders", ("relative",)),
        ("app_writable_folders", ("/a/../b",)),
        ("app_capabilities", ("ALL",)),
        ("artifact_sha256", "abc"),
        ("artifact_links", ("etc/ssl",)),
        ("artifact_links", ("/etc/../root",)),
        ("artifact_links", ("/",)),
        ("artifact_links", ("/etc/ssl\n",)),
        ("keep_releases", 1),
        ("app_batch", 0),
        ("drain_timeout", -1),
    ],
)
def test_what_could_do_harm_is_refused_by_name(name: str, value: object) -> None:
    assert name in refusal(**{name: value})
