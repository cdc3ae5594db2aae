"""The documents' links resolve."""

import re
from pathlib import Path

import pytest

from tests.unit.documents.reading import DOCUMENTS, PROJECT, prose


def anchors(document: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = found.get(slug, 0)
        found[slug] = number + 1
        names.add(f"{slug}-{number}" if number else slug)
    return names


def broken_links(path: Path, document: str) -> list[str]:
    """Relative links and anchors of a document that lead nowhere."""
    text = re.sub(r"`[^`\n]*`", "code", prose(document))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        if not file.exists():
            broken.append(target)
        elif anchor:
            linked = file.read_text() if name else document
            if anchor not in anchors(linked):
                broken.append(target)
    return broken


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    assert broken_links(path, path.read_text()) == []


@pytest.mark.parametrize(
    "link",
    ["[a](nowhere.md)", "[a](#nowhere)", "[a](docs/install.md#nowhere)", "![](a.svg)"],
)
def test_broken_link_is_found(link: str) -> None:
    assert broken_links(PROJECT / "README.md", f"# Here\n\n{link}\n")


def test_good_links_are_not_found() -> None:
    text = "# `a` == 1\n\n[`x`](#a--1) [b](docs/install.md#8-say-what-runs) `[c](d)`"
    assert broken_links(PROJECT / "README.md", text) == []


def test_every_document_is_linked_from_the_readme() -> None:
    readme = (PROJECT / "README.md").read_text()
    names = {str(path.relative_to(PROJECT)) for path in DOCUMENTS} - {"README.md"}
    assert names == {name for name in names if f"]({name})" in readme}
