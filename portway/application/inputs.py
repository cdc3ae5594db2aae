"""What application nodes need from outside: the release, the login, the authority."""

from pathlib import Path

from pydantic import SecretStr

from portway.application.artifactory import find_release
from portway.aws.errors import DENIED, AwsCallError
from portway.aws.logins import read_application_login
from portway.aws.secrets import read_secret
from portway.errors import GROUP_DATA, PortwayError
from portway.model.cluster import Cluster
from portway.render.application import Inputs


def read_inputs(cluster: Cluster) -> Inputs:
    """The inputs, which are the same for every node of a run.

    The login is the one that the secret names; nodes may get the second one.
    """
    token = _read_token(cluster)
    return Inputs(
        release=find_release(cluster.settings, token),
        login=read_application_login(
            cluster.stack.region, cluster.stack.needed_database().application_secret
        ),
        authority=_read_authority(cluster.settings.database_ca_file),
        token=token,
    )


def _read_token(cluster: Cluster) -> SecretStr | None:
    secret = cluster.settings.artifactory_token_secret
    if secret is None:
        return None
    try:
        token = read_secret(cluster.stack.region, secret).get("token", "")
    except PortwayError as error:
        if isinstance(error, AwsCallError) and error.code not in DENIED:
            raise
        raise PortwayError(
            error.what,
            why="it is yours and not the stack's, whose policy does not cover it",
            do='make it with the value {"token": "…"}, let these credentials call '
            "secretsmanager:GetSecretValue on it, or leave artifactory_token_secret "
            "out: docs/install.md has both",
        ) from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise PortwayError(
            f'secret {secret}: it has no usable "token"',
            do="set it to an access token of Artifactory, without spaces",
        )
    return SecretStr(token)


def _read_authority(file: str | None) -> str:
    if file is None:
        raise PortwayError(
            f"{GROUP_DATA}: database_ca_file is not set, so the application could not "
            "verify its database",
            do="set it to the file with the database's certificate "
            "authorities, for RDS global-bundle.pem",
        )
    try:
        return Path(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise PortwayError(
            f"{GROUP_DATA}: database_ca_file: {file} cannot be read: {error}"
        ) from error
