"""What opens Artifactory, who gets to see it, and where a download may be led.

The operator's machine looks releases up, and nodes download them, by the same rules.
"""

import ssl
from base64 import b64encode
from urllib.parse import urlsplit

MOST_REDIRECTS = 10
USUAL_PORTS = {"http": 80, "https": 443}


def token_headers(token: str) -> dict[str, str]:
    """Headers with an access token."""
    return {"Authorization": f"Bearer {token}"}


def password_headers(username: str, password: str) -> dict[str, str]:
    """Headers with a user's name and password (RFC 7617)."""
    both = b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {both}"}


def api_key_headers(key: str) -> dict[str, str]:
    """Headers with one of Artifactory's API keys."""
    return {"X-JFrog-Art-Api": key}


def is_same_server(first: str, other: str) -> bool:
    """Whether what the server of one URL may see, that of the other may see, too.

    It is the same scheme, host and port, or https in place of http at the usual ports.
    """
    one, two = _server(first), _server(other)
    upgraded = {("http", 80): ("https", 443)}
    return one[0] == two[0] and two[1] in (one[1], upgraded.get(one[1]))


def _server(url: str) -> tuple[str | None, tuple[str, int]]:
    parts = urlsplit(url)
    port = parts.port or USUAL_PORTS.get(parts.scheme, 0)
    return parts.hostname, (parts.scheme, port)


def why_not_followed(before: str, after: str) -> str:
    """Why a redirect from one URL to another is not followed; empty if it is."""
    try:
        parts = urlsplit(after)
        is_usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or parts.scheme not in USUAL_PORTS:
        return f"{shown(before)} redirects to what is no http or https address"
    return ""


def leaves_https(before: str, after: str) -> bool:
    """Whether a redirect from one URL to another gives up the protection of TLS."""
    return (urlsplit(before).scheme, urlsplit(after).scheme) == ("https", "http")


def shown(url: str) -> str:
    """A URL as it may be shown: whatever follows the host may be a signature."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def tls_context(authorities: str) -> ssl.SSLContext:
    """TLS that verifies a server by the system's authorities and these, as PEM.

    The same on every Python: 3.13 takes an authority that another one signed, and
    requires extensions that authorities of companies often lack. Raises ValueError or
    SSLError for text that has no certificates.
    """
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(cadata=authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
