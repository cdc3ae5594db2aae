"""Who may sign releases, as OpenSSH's ``allowed_signers`` has it. Pure.

One line that ssh-keygen cannot read has it refuse those after it, too, so each is read
here before a node gets it.
"""

import base64
import re
from collections.abc import Iterator

KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""Of public keys whose signatures OpenSSH takes."""
EXAMPLE = "anna@example.com ssh-ed25519 AAAA…"
_OPTION = r'(?:cert-authority|(?:namespaces|valid-after|valid-before)="[^"\s]+")'
_LINE = re.compile(
    rf"[^\s#\"]\S*\s+(?:{_OPTION}(?:,{_OPTION})*\s+)?(?P<kind>\S+)\s+(?P<key>\S+)(\s.*)?"
)


def named(text: str) -> list[str]:
    """The lines that name somebody, in a file of a node or of a checkout."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def signers(text: str) -> tuple[str, ...]:
    """The same; ValueError, with what is wrong, if one is not what OpenSSH reads."""
    found = named(text)
    if not found:
        raise ValueError("it names nobody")
    for line in found:
        read = _LINE.fullmatch(line)
        if read is None or read["kind"] not in KINDS:
            raise ValueError(f"this is nobody who signs: {line[:60]}")
        if not _is_key(read["kind"], read["key"]):
            raise ValueError(f"this has no whole key: {line[:60]}")
    return tuple(found)


def _is_key(kind: str, text: str) -> bool:
    try:
        first, *rest = _fields(base64.b64decode(text, validate=True))
    except ValueError:
        return False
    return first == kind.encode() and bool(rest)


def _fields(key: bytes) -> Iterator[bytes]:
    """The parts of a key, each behind its length. ValueError if it is cut off."""
    while key:
        size = int.from_bytes(key[:4])
        part, key = key[4 : 4 + size], key[4 + size :]
        if len(part) != size or not size:
            raise ValueError("it is cut off")
        yield part
