"""The kinds of text that settings take, each with the check that keeps it harmless.

Pure. None of them can leave the folder, the line or the word that it is put into.
"""

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator


def _matching(pattern: str, meaning: str) -> Callable[[str], str]:
    """A check that a text is whole what the pattern says, told by its meaning."""

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
            "a name for a unit and a folder; use up to 32 small letters, digits and "
            "dashes, the first a letter",
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
        _matching(r"[0-9a-f]{64}", "a SHA-256; write its 64 digits, letters small")
    ),
]
Folder = Annotated[
    str,
    AfterValidator(
        _matching(
            r"(/[A-Za-z0-9._-]+)+",
            'a folder; write its whole path, such as "/var/lib/vendor"',
        )
    ),
]
Capability = Annotated[
    str,
    AfterValidator(
        _matching(r"CAP_[A-Z_]+", 'a capability; write one such as "CAP_NET_RAW"')
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
PathPattern = Annotated[RepositoryPath, AfterValidator(_placeholders)]
