"""The types of settings' and clients' fields, each with the check that keeps it safe.

None of the texts can break out of the folder, the line or the word it is put into.
"""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from portway.errors import shown

HAPROXY_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""What HAProxy takes as a name, without the colon, which its own tools split at."""

LONGEST_TIMEOUT = 2_147_483
"""Seconds: HAProxy keeps timeouts as 31 bits of milliseconds."""

Balance = Literal["leastconn", "roundrobin", "static-rr", "source", "random"]
Mode = Literal["tcp", "http"]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[int, Field(ge=1, le=LONGEST_TIMEOUT)]


def _name(text: str) -> str:
    if not re.fullmatch(HAPROXY_NAME, text):
        raise ValueError(
            f"{shown(text)} cannot be a name in HAProxy; use up to 64 letters, digits, "
            "dots, dashes and underscores, the first a letter or digit"
        )
    return text


Name = Annotated[str, AfterValidator(_name)]


def _one_line(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]", text):
        raise ValueError("must be one line without control characters")
    text.encode()  # a lone surrogate cannot be written to a file
    return text


OneLine = Annotated[str, StringConstraints(max_length=200), AfterValidator(_one_line)]
EXAMPLE = 'write one such as "192.0.2.0/24"'


def _node_address(value: object) -> IPv4Address:
    try:
        address = IPv4Address(value) if isinstance(value, str) else None
    except ValueError:
        address = None
    if address is None:
        raise ValueError(
            f'{shown(value)} is not an IPv4 address; write one such as "10.60.0.7"'
        )
    if (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_reserved
        or address.is_link_local
    ):
        raise ValueError(f"{shown(value)} cannot be the address of a node")
    return address


def _network(value: object) -> IPv4Network | IPv6Network:
    if not isinstance(value, str):
        raise ValueError('must be a text such as "192.0.2.0/24"')
    if not re.fullmatch(r"[0-9A-Fa-f:./]+", value):  # no scope id: it may hold anything
        raise ValueError(f"{shown(value)} is not a network; {EXAMPLE}")
    for kind in (IPv4Network, IPv6Network):
        try:
            return kind(value)
        except ValueError as error:
            if "has host bits set" in str(error):
                raise ValueError(
                    f'"{value}" has bits set beyond its prefix; '
                    f'write "{kind(value, strict=False)}"'
                ) from error
    raise ValueError(f"{shown(value)} is not a network; {EXAMPLE}")


NodeAddress = Annotated[IPv4Address, BeforeValidator(_node_address)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]


RESERVED_SCHEMAS = (
    "information_schema",
    "mysql",
    "performance_schema",
    "portway",
    "rdsadmin",
    "sys",
)


def _schema_name(value: str) -> str:
    """The name, if every engine takes it as it is and none reserves it."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", value):
        raise ValueError(
            f'"{value}" is not a schema name; use up to 63 lower-case letters, digits '
            "and underscores, the first a letter"
        )
    if value in RESERVED_SCHEMAS or value.startswith("pg_"):
        raise ValueError(f'"{value}" is reserved by the database; choose another')
    return value


SchemaName = Annotated[str, AfterValidator(_schema_name)]


def _matching(pattern: str, meaning: str) -> Callable[[str], str]:
    """A check that the whole text matches; ``meaning`` says so in the error."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text) or ".." in text:
            raise ValueError(f'"{text}" is not {meaning}')
        return text

    return check


def _placeholders(text: str) -> str:
    unknown = set(re.findall(r"\{[^}]*\}?|\}", text)) - {"{name}", "{version}"}
    if unknown:
        shown = ", ".join(sorted(unknown))
        raise ValueError(f"{shown} is unknown; there are {{name}} and {{version}}")
    return text


AppName = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[a-z][a-z0-9-]{0,31}",
            "a name for a unit and a folder; use up to 32 lower-case letters, digits "
            "and dashes, the first a letter",
        )
    ),
]
Version = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}",
            "a version; use up to 64 letters, digits and . _ + ~ -, the first a letter "
            "or digit, and no two dots in a row",
        )
    ),
]
RepositoryPath = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[A-Za-z0-9{][A-Za-z0-9._+~{}-]*(/[A-Za-z0-9._+~{}-]+)*",
            "a path in a repository; use names of letters, digits and . _ + ~ - with a "
            "slash between two, none at either end, and no ..",
        )
    ),
]
Address = Annotated[
    str,
    AfterValidator(
        _matching(
            r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?",
            'an address; write one such as "https://artifacts.example.com/artifactory"',
        )
    ),
]
Sha256 = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[0-9a-f]{64}", "a SHA-256; write its 64 hexadecimal digits in lower case"
        )
    ),
]
Folder = Annotated[
    str,
    AfterValidator(
        _matching(
            r"(/[A-Za-z0-9._-]+)+",
            'a folder; write its absolute path, such as "/var/lib/vendor"',
        )
    ),
]
OutsidePath = Annotated[
    str,
    AfterValidator(
        _matching(
            r"(/[^/\x00-\x1f\x7f]+)+",
            'a path; write an absolute one, such as "/etc/ssl/certs"',
        )
    ),
]
Capability = Annotated[
    str,
    AfterValidator(
        _matching(r"CAP_[A-Z_]+", 'a capability; write one such as "CAP_NET_RAW"')
    ),
]
HostName = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?",
            'the name of a host; write one such as "app.example.com"',
        )
    ),
]
CommandLine = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[A-Za-z0-9][^\x00-\x1f\x7f]*",
            "a command; write one line that begins with a path inside the release",
        )
    ),
]
ReloadCommand = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[A-Za-z0-9/][^\x00-\x1f\x7f]*",
            'a command; write one line such as "kill -HUP $MAINPID"',
        )
    ),
]
PathPattern = Annotated[RepositoryPath, AfterValidator(_placeholders)]
