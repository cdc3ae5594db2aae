"""Takes account numbers and secrets out of everything that is written down. Pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

ACCOUNT = re.compile(r"(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])")
ACCESS_KEY = re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{12,}\b")
SESSION = re.compile(
    r"(\bassumed-role/[\w+=,.@-]+/|\bAROA[0-9A-Z]{12,}:)[\w+=,.@-]*[\w+=@-]"
)
"""Its name is, as a rule, that of a person."""
ENCODED = re.compile(r"(Encoded authorization failure message: )\S+")
SECRET_KEYS = frozenset(
    (
        "accesskeyid",
        "keymaterial",
        "masteruserpassword",
        "password",
        "publickeymaterial",
        "secretaccesskey",
        "secretbinary",
        "secretstring",
        "sessiontoken",
    )
)
UNWANTED_KEYS = frozenset(("ResponseMetadata", "TemplateBody", "UserData"))
"""What AWS sends besides, and says nothing."""
LONGEST_TEXT = 2000
LONGEST_LIST = 20
GONE = "***"


class Mask:
    """Takes out what is secret anywhere, and what it was told is secret here."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def hide(self, *secrets: str) -> None:
        """Take these texts out from now on."""
        self._secrets |= {secret for secret in secrets if len(secret) >= 4}

    def text(self, text: str) -> str:
        """A text without them."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, GONE)
        text = ENCODED.sub(rf"\1{GONE}", text)
        text = SESSION.sub(r"\1SESSION", text)
        return ACCESS_KEY.sub("ACCESS-KEY", ACCOUNT.sub("ACCOUNT", text))

    def value(self, value: Any) -> Any:
        """An answer of AWS's without them, as JSON can have it, and not too long."""
        if isinstance(value, Mapping):
            return {
                self.text(str(key)): GONE
                if str(key).lower() in SECRET_KEYS
                else self.value(inner)
                for key, inner in value.items()
                if key not in UNWANTED_KEYS
            }
        if isinstance(value, str):
            text = self.text(value)
            return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"
        if isinstance(value, bytes):
            return f"{len(value)} bytes"
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, Sequence):
            items = [self.value(inner) for inner in value[:LONGEST_LIST]]
            left = len(value) - LONGEST_LIST
            return [*items, f"… and {left} more"] if left > 0 else items
        return value
