"""Chromium, which shows pages in frames of a phone's and of a desk's width."""

import json
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

PHONE, DESK = 390, 1280
"""Widths in CSS pixels."""
CHROMIUM = (
    "chromium",
    "--headless",
    "--no-sandbox",  # root may have none, and the pages are our own
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
MEASURE = Path(__file__).with_name("measure.js")
DARK = "--blink-settings=preferredColorScheme=0"


def run(folder: Path, *words: str) -> str:
    """What Chromium prints."""
    profile = f"--user-data-dir={folder / 'profile'}"
    result = subprocess.run(
        [*CHROMIUM, profile, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return result.stdout


def measured(page: str, width: int, folder: Path, *options: str) -> dict[str, Any]:
    """How a page fits into a width, and what it has loaded."""
    file = folder / "measured.html"
    file.write_text(
        f'<iframe style="width:{width}px;height:800px;border:0" '
        f'data-page="{escape(page)}"></iframe><script>{MEASURE.read_text()}</script>'
    )
    words = (*options, "--virtual-time-budget=3000", "--dump-dom", f"file://{file}")
    text = run(folder, *words).partition('data-measured="')[2].partition('"')[0]
    found: dict[str, Any] = json.loads(unescape(text))
    return found


def draw(page: str, height: int, folder: Path, picture: Path) -> None:
    """A picture of a page on a phone and, beside it, on a desk."""
    style = f"height:{height}px;border:1px solid #999;border-radius:12px;margin:0 10px"
    frames = "".join(
        f'<iframe style="width:{width}px;{style}" srcdoc="{escape(page)}"></iframe>'
        for width in (PHONE, DESK)
    )
    file = folder / "drawn.html"
    file.write_text(f'<body style="margin:8px;white-space:nowrap">{frames}</body>')
    run(
        folder,
        f"--window-size={PHONE + DESK + 64},{height + 22}",
        "--force-device-scale-factor=0.6",
        "--virtual-time-budget=1000",
        f"--screenshot={picture}",
        f"file://{file}",
    )
