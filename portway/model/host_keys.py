"""SSH host keys: as cloud-init prints them, and as known_hosts keeps them. Pure.

A line that Portway writes ends with whose key it is: ``portway/STACK/INSTANCE``. That
is how a replaced instance is told from one whose key has changed.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

BEGIN, END = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"
FINISHED = re.compile(r"Cloud-init v\. \S+ finished at")
"""What cloud-init's last line has; what it has not printed by then never comes."""
PARTS = {"ssh-ed25519": 2, "ssh-rsa": 3} | {
    f"ecdsa-sha2-nistp{size}": 3 for size in (256, 384, 521)
}
"""How many parts a public key of a kind has, its name among them."""
PUBLIC_KEY = re.compile(rf"({'|'.join(PARTS)}) (AAAA[A-Za-z0-9+/]+=*)")


@dataclass(frozen=True, slots=True)
class HostKey:
    """The public key of an SSH server."""

    kind: str
    data: str
    """Base64."""

    def __str__(self) -> str:
        """The fingerprint, as OpenSSH shows it."""
        digest = hashlib.sha256(base64.b64decode(self.data)).digest()
        return f"{self.kind} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


@dataclass(frozen=True, slots=True)
class Owner:
    """The instance that a line of known_hosts was written for."""

    stack: str
    instance_id: str

    def __str__(self) -> str:
        return f"portway/{self.stack}/{self.instance_id}"


CERTIFICATES, REVOKED = "@cert-authority", "@revoked"
"""What lines of known_hosts are marked with that name no host's own key."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of known_hosts."""

    text: str
    names: tuple[str, ...] = ()
    """May be hashed, or patterns."""
    key: HostKey | None = None
    """None in comments, and where it is of no kind that SSH here knows, or broken."""
    owner: Owner | None = None
    marker: str = ""

    def is_for(self, name: str) -> bool:
        """Whether it names a host, by the name that SSH looks up."""
        return any(_same(own, name) for own in self.names)

    def covers(self, name: str) -> bool:
        """Whether it is about a host, also by a pattern."""
        return covers(self.names, name)


def covers(patterns: Iterable[str], name: str) -> bool:
    """Whether the names of a line, with ``*``, ``?`` and ``!``, are about a host."""
    denied = [p[1:] for p in patterns if p.startswith("!")]
    wanted = [p for p in patterns if not p.startswith("!")]
    return any(_matches(p, name) for p in wanted) and not any(
        _matches(p, name) for p in denied
    )


def keys_on_console(text: str) -> tuple[HostKey, ...]:
    """The host keys that cloud-init printed last; none if it has not (yet).

    Other programs write to the console as well, so a key that one of them cut in two
    is left out.
    """
    block = text.rpartition(BEGIN)[2] if BEGIN in text else ""
    if END not in block:
        return ()
    found = (HostKey(*pair) for pair in PUBLIC_KEY.findall(block.partition(END)[0]))
    return tuple(key for key in found if _is_whole(key))


def has_finished(text: str) -> bool:
    """Whether the console shows that cloud-init has printed all it will print."""
    return bool(FINISHED.search(text))


def read_entries(text: str) -> tuple[Entry, ...]:
    """The lines of a known_hosts file."""
    return tuple(map(_entry, text.splitlines()))


def written(entries: Iterable[Entry]) -> str:
    """The text of a known_hosts file with these lines."""
    return "".join(f"{entry.text}\n" for entry in entries)


def usable(entries: Collection[Entry]) -> tuple[Entry, ...]:
    """The lines with a host's own key that can be read and that no line revokes.

    A key that is revoked for any host counts for none.
    """
    revoked = revoked_keys(entries)
    return tuple(e for e in entries if e.key and not e.marker and e.key not in revoked)


def revoked_keys(entries: Iterable[Entry]) -> frozenset[HostKey]:
    """The keys that no host may have any more."""
    return frozenset(e.key for e in entries if e.key and e.marker == REVOKED)


def hindrance(entry: Entry, name: str, revoked: Collection[HostKey]) -> str:
    """Why a line about a host makes it no known one; nothing if it is not about it."""
    if not entry.covers(name):
        return ""
    if entry.marker == CERTIFICATES:
        return "has @cert-authority: its certificates count for nothing here, only keys"
    if not entry.marker and entry.key is None:
        return "has a key for it that cannot be read"
    if not entry.marker and entry.key in revoked:
        return "has its key, which a line with @revoked takes back"
    return ""


def with_keys(
    entries: Sequence[Entry], name: str, owner: Owner, keys: Iterable[HostKey]
) -> tuple[Entry, ...]:
    """The lines with these keys for a host, and no others for it or its instance."""
    new = [_entry(f"{name} {key.kind} {key.data} {owner}") for key in keys]
    lines = [entry.text for entry in new]
    plain = [e for e in entries if not e.marker]
    if [e.text for e in plain if e.is_for(name) or e.owner == owner] == lines:
        return tuple(entries)
    return (*_without(entries, name, owner), *new)


def _without(entries: Iterable[Entry], name: str, owner: Owner) -> Iterator[Entry]:
    """The lines without an instance's own, and without a name on others."""
    for entry in entries:
        if entry.owner == owner:
            continue
        if entry.marker or not entry.is_for(name):
            yield entry
        elif names := [own for own in entry.names if not _same(own, name)]:
            rest = entry.text.split(None, 1)[1]
            yield replace(entry, text=f"{','.join(names)} {rest}", names=tuple(names))


def _entry(text: str) -> Entry:
    words = text.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#"):
        return Entry(text, marker=marker)
    names, kind, data, *comment = words
    owner = re.fullmatch(r"portway/([^/]+)/([^/]+)", comment[0]) if comment else None
    key = HostKey(kind, data)
    return Entry(
        text,
        tuple(names.split(",")),
        key if kind in PARTS and _is_whole(key) else None,
        Owner(owner[1], owner[2]) if owner and not marker else None,
        marker,
    )


def _matches(pattern: str, name: str) -> bool:
    """Whether one name or pattern of a line is a host's; brackets are no pattern."""
    if _same(pattern, name):
        return True
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _same(written_name: str, name: str) -> bool:
    """Whether a name in known_hosts, which may be hashed, is this one."""
    if not written_name.startswith("|1|"):
        return written_name == name
    try:
        salt, digest = map(base64.b64decode, written_name[3:].split("|", 1))
    except (ValueError, binascii.Error):
        return False
    return hmac.new(salt, name.encode(), hashlib.sha1).digest() == digest


def _is_whole(key: HostKey) -> bool:
    """Whether the data is a public key of its kind, from first to last byte."""
    try:
        rest = base64.b64decode(key.data, validate=True)
    except binascii.Error:
        return False
    parts = []
    while len(rest) >= 4:
        length = int.from_bytes(rest[:4])
        parts.append(rest[4 : 4 + length])
        rest = rest[4 + length :] if len(rest) >= 4 + length else b"?"
    return not rest and len(parts) == PARTS[key.kind] and parts[0] == key.kind.encode()
