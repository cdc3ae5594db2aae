"""Sections that have no servers: what answers there is compared, or named."""

import pytest

from portway.haproxy_files.comparison import Verdict
from tests.unit.haproxy_files.said import compared, only

TCP = "listen one\n bind :9001\n"
WEB = TCP + " mode http\n"
PAGES = "listen admin\n bind :8404\n mode http\n"


@pytest.mark.parametrize(
    ("section", "line"),
    [
        (TCP, "dispatch 10.0.0.9:9001"),
        (TCP, "option transparent"),
        (WEB, "option transparent"),
        (TCP, "tcp-request content use-service lua.mine"),
        (TCP, "tcp-request content lua.mine"),
        (WEB, "http-request use-service lua.mine"),
        (WEB, "http-request lua.mine"),
        (WEB, "http-request return status 200"),
        (WEB, "redirect location https://a.example/"),
        (WEB, "monitor-uri /up"),
        (WEB, "errorloc 503 https://a.example/"),
        (WEB, "errorfiles mine"),
        (WEB, "filter spoe engine x"),
        (WEB, "a-word-of-2031 on"),
    ],
)
@pytest.mark.parametrize("frontend", ["listen", "frontend"])
def test_line_that_answers_there_is_named(
    section: str, line: str, frontend: str
) -> None:
    old = section.replace("listen", frontend) + f" {line}\n"
    for new in (section, old, old.replace("a.example", "b.example")):
        report = only(old, new)
        assert report.verdict is Verdict.NOT_JUDGED
        assert (
            f"old:{old.count(chr(10))}: {line.split(maxsplit=1)[0]}"
            in report.unknown[0]
        )


@pytest.mark.parametrize("head", ["listen", "frontend"])
def test_without_such_a_line_nobody_answers(head: str) -> None:
    tcp, web = (text.replace("listen", head) for text in (TCP, WEB))
    assert (only(tcp, TCP).verdict, only(tcp, TCP).old) == ("same", "closed")
    assert only(web, WEB).old == "answered with 503"
    assert only(web, tcp).verdict is Verdict.DIFFERS


def test_page_that_says_so_is_compared_by_name() -> None:
    old = WEB + " errorfile 503 /etc/haproxy/errors/down.http\n"
    report = only(old, WEB)
    assert report.verdict is Verdict.DIFFERS
    assert report.old == "answered with 503 from /etc/haproxy/errors/down.http"
    assert only(old, old).verdict is Verdict.SAME
    denied = " http-request deny\n errorfile 403 /p\n"
    assert only(WEB + denied, WEB).old == "answered with 403 from /p"


@pytest.mark.parametrize(
    "line",
    [
        "redirect scheme https",
        "monitor-uri /up",
        "http-request redirect location /",
        "dispatch 10.0.0.9:80",
        "a-word-of-2031 on",
    ],
)
def test_port_that_clients_use_is_not_filed_under_statistics(line: str) -> None:
    usual = "defaults\n mode http\n stats uri /stats\n"
    old = usual + f"frontend one\n bind :9001\n {line}\n"
    assert only(old, old).verdict is Verdict.NOT_JUDGED
    (report,) = compared(old).ports
    assert report.verdict is Verdict.NOT_JUDGED
    own = PAGES + f" stats enable\n {line}\n"
    (report,) = compared(own, "global\n").ports
    assert report.verdict is Verdict.NOT_JUDGED


def test_statistics_that_defaults_give_are_compared_where_nobody_else_answers() -> None:
    usual = "defaults\n mode http\n stats uri /stats\n"
    old = usual + "frontend one\n bind :9001\n"
    report = only(old, "defaults\n mode http\nfrontend one\n bind :9001\n")
    assert report.verdict is Verdict.DIFFERS
    (difference,) = report.differences
    assert (difference.what, difference.old) == ("statistics at", "/stats")


@pytest.mark.parametrize(
    "lines",
    [
        "stats enable",
        "stats uri /",
        "stats uri /\n stats auth user:secret\n http-request auth unless TRUE",
        "stats uri /\n http-request use-service prometheus-exporter if { path /m }",
        "stats enable\n http-response set-header X-Frame-Options DENY",
        "stats enable\n http-request set-path / if { path /old }",
        "stats enable\n cookie SERVERID insert\n option nolinger",
    ],
)
def test_statistics_and_what_protects_them_are_no_clients(lines: str) -> None:
    (report,) = compared(PAGES + f" {lines}\n", "global\n").ports
    assert report.verdict is Verdict.STATISTICS
