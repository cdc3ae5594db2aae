"""What opens Artifactory: the credential in its secret, and a company's authorities."""

import re
import ssl
from pathlib import Path

from portway.aws.errors import DENIED, AwsCallError
from portway.aws.secrets import read_secret
from portway.contract.artifact_access import (
    api_key_headers,
    password_headers,
    tls_context,
    token_headers,
)
from portway.errors import GROUP_DATA, PortwayError
from portway.model.releases import Access
from portway.model.settings import Settings

FORMS = (
    '{"token": "…"}',
    '{"username": "…", "password": "…"}',
    '{"api_key": "…"}',
)
"""What the secret may have; the first that it has counts."""
CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----"
)


def read_access(settings: Settings, region: str) -> Access:
    """What opens Artifactory.

    Raises PortwayError if the secret or the file cannot be used, and for a credential
    that others could read on its way.
    """
    secret = settings.artifactory_token_secret
    authorities = _read_authorities(settings.artifactory_ca_file)
    if secret is None:
        return Access({}, authorities)
    url = settings.artifactory_url or ""
    if url.startswith("http://") and not settings.artifactory_plain_http:
        raise PortwayError(
            f"{GROUP_DATA}: artifactory_url is plain http ({url}), so anybody on the "
            f"way could read the credential in the secret {secret}",
            do="set its https address; if the whole way is trusted, set\n"
            "  artifactory_plain_http = True",
        )
    return Access(_read_headers(secret, region), authorities)


def _read_headers(secret: str, region: str) -> dict[str, str]:
    try:
        fields = read_secret(region, secret)
    except PortwayError as error:
        if isinstance(error, AwsCallError) and error.code not in DENIED:
            raise
        raise PortwayError(
            error.what,
            why="it is yours and not the stack's, whose policy does not cover it",
            do=f"make it with the value {FORMS[0]}, let these credentials call "
            "secretsmanager:GetSecretValue on it, or leave artifactory_token_secret "
            "out: docs/install.md has both",
        ) from None
    if token := fields.get("token"):
        return token_headers(_word(token, "token", secret))
    user, password = fields.get("username"), fields.get("password")
    if user and password:
        if ":" in user:
            raise _unusable(secret, "username", "without a colon")
        _refuse_control(user, "username", secret)
        _refuse_control(password, "password", secret)
        return password_headers(user, password)
    if key := fields.get("api_key"):
        return api_key_headers(_word(key, "api_key", secret))
    raise PortwayError(
        f"secret {secret}: it has no credential of Artifactory",
        why=f"it may have one of {', '.join(FORMS)}",
        do="set it to one of these",
    )


def _word(value: str, name: str, secret: str) -> str:
    """The value, if it can be sent in a header as it is."""
    if not value.isascii() or not value.isprintable() or " " in value:
        raise _unusable(secret, name, "without spaces and line breaks")
    return value


def _refuse_control(value: str, name: str, secret: str) -> None:
    if not value.isprintable():
        raise _unusable(secret, name, "without line breaks")


def _unusable(secret: str, name: str, form: str) -> PortwayError:
    return PortwayError(
        f'secret {secret}: it has no usable "{name}"', do=f"set it to one {form}"
    )


def _read_authorities(file: str | None) -> str:
    """The certificates in a file, as PEM; whatever else is in it stays here."""
    if file is None:
        return ""
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise PortwayError(
            f"{GROUP_DATA}: artifactory_ca_file: {file} cannot be read "
            f"({error.strerror})",
            do="set it to the file with the certificates of your own authorities",
        ) from error
    authorities = "".join(f"{found}\n" for found in CERTIFICATE.findall(text))
    try:
        if authorities:
            tls_context(authorities)
            return authorities
        reason = "has no certificates in PEM form"
    except (ValueError, ssl.SSLError) as error:
        reason = f"has a damaged certificate ({error})"
    raise PortwayError(
        f"{GROUP_DATA}: artifactory_ca_file: {file} {reason}",
        do="if it is in DER form, convert it:\n"
        f"  openssl x509 -inform der -in {file} -out {Path(file).stem}.pem",
    )
