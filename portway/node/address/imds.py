"""The instance metadata service, version 2: this node's own addresses."""

import http.client

HOST = "169.254.169.254"
SECONDS = 1.0
"""How long an answer may take; the service is on the same machine."""
INTERFACES = "/latest/meta-data/network/interfaces/macs"


def private_addresses() -> frozenset[str]:
    """The private IPv4 addresses of the primary interface. OSError if none comes."""
    connection = http.client.HTTPConnection(HOST, timeout=SECONDS)
    try:
        token = _ask(
            connection,
            "PUT",
            "/latest/api/token",
            {"X-aws-ec2-metadata-token-ttl-seconds": "60"},
        )
        headers = {"X-aws-ec2-metadata-token": token}
        mac = _ask(connection, "GET", "/latest/meta-data/mac", headers)
        path = f"{INTERFACES}/{mac}/local-ipv4s"
        return frozenset(_ask(connection, "GET", path, headers).split())
    except http.client.HTTPException as error:
        raise OSError(f"the metadata service: {error}") from error
    finally:
        connection.close()


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str],
) -> str:
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != http.client.OK:
        raise OSError(f"the metadata service answers {answer.status} for {path}")
    return text.strip()
