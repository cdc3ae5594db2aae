"""Chromium shows the page on a phone and on a desk, and people can read it."""

import os
from pathlib import Path

import pytest

from portway.cli.status.page import page
from portway.run.status.report import report
from tests.unit.cli.status.browser import DARK, DESK, PHONE, draw, measured
from tests.unit.run.status.systems import broken, but, system

PICTURE = Path(__file__).parents[4] / "docs" / "status-page.png"
REDRAW = os.environ.get("PORTWAY_REDRAW") == "1"
"""Whether to draw the picture that the documents show again."""
LARGEST = 150_000
ENOUGH = 4.5
"""Contrast that WCAG 2 asks of text (1.4.3)."""
LONG = "a_client_with_a_name_that_nobody_could_ever_say_in_one_breath"
PAGES = {
    "intact": system(),
    "broken": broken(),
    "long words": but(
        system(
            *({"client_name": f"{LONG}_{n}", "client_port": 9000 + n} for n in (1, 2))
        ),
        "lb-2",
        problem="https://" + "does-not-answer." * 20,
        balancer=None,
    ),
}


def shown(name: str) -> str:
    return page(report(PAGES[name], "inventories/prod.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chromium")


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", PAGES)
def test_page_fits_its_width_is_readable_and_loads_nothing(
    name: str, width: int, folder: Path
) -> None:
    seen = measured(shown(name), width, folder)
    assert seen["scroll width"] <= seen["inner width"] == width
    assert seen["too far right"] == []
    assert seen["loaded"] == []
    assert seen["smallest text"] >= 14
    assert seen["contrast"] >= ENOUGH
    if name != "long words":
        assert seen["broken words"] == []


def test_page_is_readable_in_the_dark(folder: Path) -> None:
    seen = measured(shown("broken"), PHONE, folder, DARK)
    assert seen["is dark"]
    assert seen["contrast"] >= ENOUGH


def test_what_does_not_fit_and_what_is_loaded_would_be_seen(folder: Path) -> None:
    wide = '<pre style="color:#999">wide</pre><img src="http://192.0.2.1/a.png">'
    wide += '<p style="width:500px;font-size:9px">small</p></body>'
    seen = measured(shown("intact").replace("</body>", wide), PHONE, folder)
    assert seen["scroll width"] > PHONE
    assert len(seen["too far right"]) == 1
    assert seen["loaded"] == ["http://192.0.2.1/a.png"]
    assert seen["smallest text"] == 9
    assert seen["contrast"] < ENOUGH


def test_what_is_wrong_is_told_once_with_the_command_that_mends_it() -> None:
    text = shown("broken")
    assert text.count("<code>pyinfra inventories/prod.py deploys/site.py</code>") == 1
    assert "HAProxy is not running" in text
    assert "1977" in text


def test_picture_in_the_documents_is_small(tmp_path: Path) -> None:
    if REDRAW:
        draw(shown("broken"), 1080, tmp_path, PICTURE)
    assert PICTURE.stat().st_size < LARGEST
