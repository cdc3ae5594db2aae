"""A session with a database server, whatever the engine: who, where, and how.

The security contract: no password is sent before the server's certificate is verified;
passwords are kept in values that print as asterisks; statements that contain a
password or a hash of one are never shown.
"""

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from types import MappingProxyType
from typing import Any, Protocol

from portway.errors import PortwayError

STATEMENT_SECONDS = 30
LOGIN_SECONDS = 15
"""What each answer of a server may take until the user is logged in."""


Hidden = Mapping[str, str]
"""Texts that must not be seen, by the placeholder that stands for each."""
NOTHING: Hidden = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Server:
    """Where a database server is and how it is reached."""

    engine: str
    address: str
    """Its certificate must be for this name."""
    port: int
    ca_file: Path
    """The authorities that may have issued its certificate."""
    via: str
    """The node through which it is reached."""
    open_stream: Callable[[], socket]
    """A new connection to it; raises PortwayError."""
    sleep: Callable[[float], None] = time.sleep

    def __str__(self) -> str:
        return f"database {self.address}:{self.port}, reached through {self.via}"


class Session(Protocol):
    """A user's connection to one database."""

    def rows(self, statement: str, about: str) -> Sequence[Sequence[Any]]:
        """The rows that a statement answers with; ``about`` says what it is for."""

    def run(self, statement: str, about: str, hidden: Hidden = NOTHING) -> None:
        """Run statements, with what is hidden where they have its placeholder."""

    def close(self) -> None:
        """End it; what was not committed is undone."""


GET_AUTHORITIES = (
    "set it to the file with the authorities of the database's certificate, for RDS:\n"
    "curl -O https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
)
"""What to do about an authorities' file that is not there."""


def tls_context(ca_file: Path) -> ssl.SSLContext:
    """TLS that verifies a server's certificate and name. PortwayError if it cannot."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "it has no certificates in PEM form"
        raise PortwayError(
            f"group_data: database_ca_file: {ca_file} cannot be read ({reason})",
            do=GET_AUTHORITIES,
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RDS's authorities lack an extension that Python 3.13 requires.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context
