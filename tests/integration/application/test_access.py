"""What opens Artifactory: the secret's forms, the authorities' file, plain http."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from portway.application.access import read_access
from portway.errors import PortwayError
from portway.model.releases import Access
from portway.model.settings import Settings
from tests.certificates import company
from tests.integration.conftest import REGION, Account

SECRET = "portway/artifactory"
HTTPS = "https://artifacts.example.com/artifactory"


def settings(**given: object) -> Settings:
    known = {"clients_file": "c.json", "artifactory_url": HTTPS}
    return Settings.model_validate(known | given)


def keep(account: Account, value: str) -> None:
    manager = account.client("secretsmanager")
    manager.create_secret(Name=SECRET, SecretString=value)


def read(account: Account, value: dict[str, object], **given: object) -> Access:
    keep(account, json.dumps(value))
    return read_access(settings(artifactory_token_secret=SECRET, **given), REGION)


BASIC = b64encode("ci:paß: wört".encode()).decode()


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        ({"token": "abc"}, {"Authorization": "Bearer abc"}),
        (
            {"username": "ci", "password": "paß: wört"},
            {"Authorization": f"Basic {BASIC}"},
        ),
        ({"api_key": "AKC123"}, {"X-JFrog-Art-Api": "AKC123"}),
        ({"token": "abc", "username": "ci"}, {"Authorization": "Bearer abc"}),
        ({"token": "", "api_key": "AKC123"}, {"X-JFrog-Art-Api": "AKC123"}),
    ],
)
def test_secret_may_have_any_credential_of_artifactory(
    account: Account, value: dict[str, object], headers: dict[str, str]
) -> None:
    access = read(account, value)
    assert access.headers == headers
    assert "abc" not in repr(access)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, 'it may have one of {"token": "…"}, {"username": "…", "password": "…"}'),
        ({"username": "ci"}, "it has no credential"),
        ({"user": "ci", "password": "x"}, '{"username": "…", "password": "…"}'),
        ({"token": "a b"}, 'no usable "token"'),
        ({"token": "secret\n"}, 'no usable "token"'),
        ({"api_key": "sécret"}, 'no usable "api_key"'),
        ({"username": "a:b", "password": "secret"}, 'no usable "username"'),
        ({"username": "ci", "password": "secret\n"}, 'no usable "password"'),
        ({"username": "ci\r", "password": "secret"}, 'no usable "username"'),
    ],
)
def test_secret_that_opens_nothing_is_told_without_its_value(
    account: Account, value: dict[str, object], said: str
) -> None:
    with pytest.raises(PortwayError) as caught:
        read(account, value)
    assert said in caught.value.message
    assert "secret\n" not in caught.value.message


def test_credential_goes_over_plain_http_only_if_a_setting_insists(
    account: Account,
) -> None:
    plain = "http://artifacts.example.com/artifactory"
    with pytest.raises(PortwayError) as caught:
        read(account, {"token": "abc"}, artifactory_url=plain)
    assert "artifactory_url is plain http" in caught.value.message
    assert caught.value.message.endswith("  artifactory_plain_http = True")
    insists = settings(
        artifactory_url=plain,
        artifactory_plain_http=True,
        artifactory_token_secret=SECRET,
    )
    assert read_access(insists, REGION).headers == {"Authorization": "Bearer abc"}
    assert read_access(settings(artifactory_url=plain), REGION).headers == {}


def test_only_certificates_of_the_authorities_file_leave_this_machine(
    tmp_path: Path,
) -> None:
    made = company(tmp_path)
    file = tmp_path / "company.pem"
    key = (tmp_path / "server.pem").read_text().partition("-----END PRIVATE KEY")[0]
    assert "PRIVATE KEY" in key
    file.write_text(f"{key}-----END PRIVATE KEY-----\n# Prüfstelle\n{made.root}\n")
    access = read_access(settings(artifactory_ca_file=str(file)), REGION)
    assert access.authorities == made.root
    assert "CERTIFICATE" not in repr(access)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"\x30\x82\x01\x0a", "has no certificates in PEM form"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "has a damaged certificate",
        ),
    ],
)
def test_authorities_file_that_cannot_be_used_is_told(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "company.der"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PortwayError) as caught:
        read_access(settings(artifactory_ca_file=str(file)), REGION)
    assert f"artifactory_ca_file: {file}" in caught.value.message
    assert said in caught.value.message
