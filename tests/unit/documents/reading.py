"""Where the documents are, and their fenced blocks."""

import re
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[3]
NAMED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
DOCUMENTS = [*(PROJECT / n for n in NAMED), *sorted((PROJECT / "docs").glob("*.md"))]
RUNBOOK = PROJECT / "docs" / "runbook.md"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what is after the opening fence, its line, and its text."""

    kind: str
    line: int
    text: str


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document."""
    found, lines, start, kind = [], list[str](), 0, ""
    for number, line in enumerate(document.splitlines(), start=1):
        if not line.startswith("```"):
            lines.append(line)
        elif not start:
            start, kind, lines = number, line[3:], []
        else:
            found.append(Block(kind, start, "\n".join(lines)))
            start = 0
    if start:
        found.append(Block("never closed", start, ""))
    return found


def prose(document: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", document, flags=re.DOTALL | re.MULTILINE)


def section(document: str, title: str) -> str:
    """A section of the second level."""
    _, _, rest = document.partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]
