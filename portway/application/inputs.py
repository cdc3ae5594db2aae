"""What application nodes need from outside: the release, the login, the authority."""

from pathlib import Path

from pyinfra import logger

from portway.application.access import read_access
from portway.application.artifactory import find_release
from portway.aws.logins import read_application_login
from portway.database.session import GET_AUTHORITIES
from portway.errors import GROUP_DATA, PortwayError
from portway.model.cluster import Cluster
from portway.render.application import Inputs


def read_inputs(cluster: Cluster) -> Inputs:
    """The inputs, which are the same for every node of a run.

    The login is the one that the secret names; nodes may get the second one.
    """
    access = read_access(cluster.settings, cluster.stack.region)
    return Inputs(
        release=find_release(cluster.settings, access, say=_say),
        login=read_application_login(
            cluster.stack.region, cluster.stack.needed_database().application_secret
        ),
        authority=_read_authority(cluster.settings.database_ca_file),
        access=access,
    )


def _say(line: str) -> None:
    logger.info(f"    {line}")


def _read_authority(file: str | None) -> str:
    if file is None:
        raise PortwayError(
            f"{GROUP_DATA}: database_ca_file is not set, so the application could not "
            "verify its database",
            do=GET_AUTHORITIES,
        )
    try:
        return Path(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise PortwayError(
            f"{GROUP_DATA}: database_ca_file: {file} cannot be read ({reason})",
            do=GET_AUTHORITIES,
        ) from error
