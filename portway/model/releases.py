"""A release of the application, and which releases a node has.

``portway/node/releases/`` installs them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Release:
    """One version of the application, and where to get it."""

    version: str
    url: str
    sha256: str
    """Of the archive, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class Access:
    """What opens Artifactory, and what it is recognised by."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The credential, as Artifactory alone may see it; empty if it asks for none."""
    authorities: str = field(default="", repr=False)
    """Certificates, as PEM, that may have issued its own, besides the usual ones."""


@dataclass(frozen=True, slots=True)
class FoundReleases:
    """What one read of a node found under the application's folder."""

    sums: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the archive of each complete release, by version; the one that was
    installed first comes first."""
    current: str | None = None
    previous: str | None = None
    """The version that was current before."""
    leftovers: bool = False
    """Whether an interrupted run left something behind."""


def is_fetched(release: Release, found: FoundReleases) -> bool:
    """Whether the node has the release, unpacked from the right archive."""
    return found.sums.get(release.version) == release.sha256


def is_current(release: Release, found: FoundReleases) -> bool:
    """Whether the node would start this release."""
    return is_fetched(release, found) and found.current == release.version


def prunable(release: Release, found: FoundReleases, keep: int) -> tuple[str, ...]:
    """The versions to remove once the release is current, the oldest first.

    The release and the one that was current before it are always kept.
    """
    before = found.current if found.current != release.version else found.previous
    others = [v for v in found.sums if v not in (release.version, before)]
    kept = keep - 1 - (before in found.sums)
    return tuple(others[: max(len(others) - kept, 0)])
