"""The screen and the page show the report, whatever its size."""

from io import StringIO

import pytest
from rich.console import Console

from portway.cli.status.page import page
from portway.cli.status.screen import WIDTH, screen
from portway.run.status.report import Report, report
from tests.unit.run.status.systems import but, but_status, system


def shown(found: Report) -> str:
    out = StringIO()
    Console(file=out, width=WIDTH).print(screen(found))
    return out.getvalue()


@pytest.fixture(scope="module")
def many() -> Report:
    """Ten thousand clients, one of which has no port."""
    entries = [
        {"client_name": f"client-{port}", "client_port": port}
        for port in range(10_001, 20_001)
    ]
    found = system(*entries)
    seen = found.node("lb-1")
    assert seen is not None
    assert seen.balancer is not None
    frontends = seen.balancer.frontends - {"client-10007"}
    return report(but_status(found, "lb-1", frontends=frontends), "inventories/prod.py")


def test_screen_of_a_small_system_lists_every_client() -> None:
    text = shown(report(system(), "inventories/prod.py"))
    assert "portway-test in eu-central-1, seen at 2026-11-27 12:00:00 UTC" in text
    assert "203.0.113.9 (elastic-ip) points to lb-1, the VRRP master" in text
    assert "by anna@desk with deploys/site.py" in " ".join(text.split())
    assert "served" in text
    assert text.endswith("all is well\n")
    assert max(map(len, text.splitlines())) <= WIDTH


def test_screen_of_ten_thousand_clients_shows_who_is_not_served(many: Report) -> None:
    text = shown(many)
    assert "client-10007  10007  refused" in text
    assert "client-10008" not in text
    assert "9,999 of 10,000 clients are served; 19,998 streams" in text
    assert len(text.splitlines()) < 40


def test_findings_stand_at_the_end_with_their_commands() -> None:
    found = but(system(), "lb-2", problem="does not answer", balancer=None)
    lines = shown(report(found, "inventories/prod.py")).rstrip().splitlines()
    assert lines[-2].startswith("? lb-2 could not be asked: does not answer")
    assert lines[-1].startswith(
        "    aws ec2 describe-instance-status --instance-ids i-"
    )


def test_page_escapes_what_others_have_written() -> None:
    found = but(system(), "lb-1", going_on="<script>alert(1)</script> runs it")
    text = page(report(found, "inventories/prod.py"))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert 'name="viewport"' in text


def test_page_of_ten_thousand_clients_lists_who_is_not_served(many: Report) -> None:
    text = page(many)
    assert "client-10007" in text
    assert "client-10008" not in text
    assert "9,999 more are served" in text
