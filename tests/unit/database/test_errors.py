"""What is said of a connection to the database that did not come about."""

import ssl

import pytest

from portway.database.errors import Busy, connection_error
from portway.errors import PortwayError


def told(error: Exception) -> PortwayError:
    return connection_error(error, "database db", "portway", "authority.pem")


@pytest.mark.parametrize("kind", [ssl.SSLEOFError, ssl.SSLZeroReturnError])
def test_connection_that_breaks_off_in_the_handshake_is_tried_again(
    kind: type[ssl.SSLError],
) -> None:
    error = told(kind(8, "EOF occurred in violation of protocol"))
    assert isinstance(error, Busy)
    assert "the connection broke" in str(error)


def test_certificate_that_cannot_be_trusted_is_not_tried_again() -> None:
    error = told(ssl.SSLError(1, "wrong version number"))
    assert not isinstance(error, Busy)
    assert "its TLS certificate cannot be trusted" in str(error)
