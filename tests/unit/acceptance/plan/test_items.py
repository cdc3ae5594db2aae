"""Every line of docs/aws.md is observed or cannot be, and nothing else is."""

import re

import pytest

from acceptance.findings.observing import OBSERVERS
from acceptance.parts.order import PARTS
from acceptance.plan.items import ITEMS, After
from portway.contract.address import AddressKind
from tests.unit.documents.reading import PROJECT

DOCUMENT = (PROJECT / "docs" / "aws.md").read_text()


def lines() -> list[str]:
    """The first cells of the tables of what is relied upon."""
    _, _, tables = DOCUMENT.partition("\n## Moving the address\n")
    rows = re.findall(r"^\| (.+?) \| .+ \|$", tables, re.MULTILINE)
    return [row for row in rows if row not in ("---", "what is relied upon")]


def test_document_has_lines() -> None:
    assert len(lines()) > 40


@pytest.mark.parametrize("line", lines(), ids=lambda line: line[:40])
def test_line_of_the_document_has_one_item(line: str) -> None:
    assert len([i for i in ITEMS.values() if line.startswith(i.begins)]) == 1


@pytest.mark.parametrize("key", ITEMS)
def test_item_is_one_line_of_the_document(key: str) -> None:
    assert len([x for x in lines() if x.startswith(ITEMS[key].begins)]) == 1


@pytest.mark.parametrize("key", ITEMS)
def test_item_is_observed_or_says_why_it_cannot_be(key: str) -> None:
    item = ITEMS[key]
    assert (item.after is None) == bool(item.because)
    assert (key in OBSERVERS) == (item.after is not None)


def test_nothing_else_is_observed() -> None:
    assert OBSERVERS.keys() <= ITEMS.keys()


def test_every_occasion_to_observe_comes_once() -> None:
    shown = [after for part in PARTS.values() for after in part.shows]
    assert sorted([*shown, After.DELETION]) == sorted(After)


@pytest.mark.parametrize("kind", AddressKind)
def test_lines_about_a_tunnel_need_one(kind: AddressKind) -> None:
    item = ITEMS["tunnel"]
    assert item.is_seen(kind, has_tunnel=True)
    assert not item.is_seen(kind, has_tunnel=False)
