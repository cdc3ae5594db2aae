"""What two HAProxy files are said to do with connections."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from portway.haproxy_files.comparison import PortReport, Verdict, networks_of
from portway.haproxy_files.lines import split
from portway.render.load_balancer import load_balancer
from tests.unit.haproxy_files.said import PLAIN, compared, differing, only
from tests.unit.samples import cluster

DATA = Path(__file__).parent / "data"
CLIENTS_ADDRESS = IPv4Address("10.0.0.5")


def style(name: str, **how: object) -> dict[int, PortReport]:
    """A file compared with itself."""
    text = (DATA / name).read_text()
    return {report.port: report for report in compared(text, text, **how).ports}


def test_first_cookbooks_file_is_understood() -> None:
    reports = style("app_lb.cfg")
    assert reports[9001].verdict is Verdict.SAME
    assert reports[9001].old == "tcp to 10.0.0.11:9001, 10.0.0.12:9001"
    assert reports[22002].verdict is Verdict.SAME
    assert reports[22002].old == "the statistics page"


def test_file_of_the_cookbooks_resources_is_understood_but_for_what_is_sent() -> None:
    reports = style("resources.cfg")
    assert [reports[port].verdict for port in (9001, 9002, 9003, 1337)] == ["same"] * 4
    assert reports[9002].old == (
        "closed; tcp to 10.0.0.14:9002; tcp to 10.0.0.11:9002, 10.0.0.12:9002"
    )
    assert reports[9004].verdict is Verdict.NOT_JUDGED
    assert reports[9004].unknown == (
        "old:45: use_backend tiles …",
        "new:45: use_backend tiles …",
    )


def test_file_of_a_companys_template_is_understood() -> None:
    reports = style("template.cfg")
    assert {port: report.verdict for port, report in reports.items()} == dict.fromkeys(
        (9001, 9002, 9003, 9101), Verdict.SAME
    )
    assert reports[9101].old == "tcp to 10.0.0.11:9101, 10.0.0.12:9101"
    assert reports[9002].old.startswith("closed; tcp to 10.0.0.11:9012 with PROXY")
    assert reports[9003].old.startswith("answered with 403; http to")


def test_each_source_is_said_that_another_server_serves() -> None:
    old = (DATA / "resources.cfg").read_text()
    new = old.replace("203.0.113.0/255.255.255.128", "203.0.113.0/24")
    found = compared(old, new).ports
    reports = {report.port: report for report in found}
    (difference,) = reports[9002].differences
    assert networks_of(difference.sources) == "203.0.113.128/25"
    assert difference.addresses == (CLIENTS_ADDRESS,)
    assert (difference.old, difference.new) == (
        "closed",
        "tcp to 10.0.0.11:9002, 10.0.0.12:9002",
    )
    assert difference.concerns(IPv4Address("203.0.113.200"), CLIENTS_ADDRESS)
    assert not difference.concerns(IPv4Address("203.0.113.20"), CLIENTS_ADDRESS)
    assert not difference.concerns(IPv4Address("203.0.113.200"), None)


def test_sources_are_written_as_people_write_them() -> None:
    everybody = PLAIN + " tcp-request connection reject\n"
    (difference,) = only(everybody).differences
    assert networks_of(difference.sources) == ""
    report = only(PLAIN + " tcp-request connection reject unless { src 10.0.0.0/8 }\n")
    (difference,) = report.differences
    assert networks_of(difference.sources) == "all but 10.0.0.0/8"


@pytest.mark.parametrize(
    ("line", "what", "old", "new"),
    [
        ("timeout client 50s", "timeout client", "50 s", "none"),
        ("timeout server 50000", "timeout server", "50 s", "none"),
        ("contimeout 5000", "timeout connect", "5 s", "none"),
        ("timeout tunnel 1h", "timeout client", "3,600 s", "none"),
        ("maxconn 20", "most connections", "20", "none"),
        (
            "option clitcpka",
            "keepalives to clients",
            "as the system sends them",
            "none",
        ),
        (
            "option tcpka\n srvtcpka-idle 30s\n srvtcpka-cnt 3",
            "keepalives to servers",
            "idle 30s, cnt 3",
            "none",
        ),
        (
            "option tcp-check\n tcp-check connect port 81\n tcp-check send PING\n"
            " tcp-check expect string PONG\n default-server check",
            "health check",
            "tcp-check, connect port 81, send #9060, expect string PONG, every 2 s, "
            "down after 3, up after 2",
            "none",
        ),
        (
            "option httpchk\n http-check connect port 81\n"
            " http-check expect status 200\n default-server check rise 5",
            "health check",
            "HTTP, connect port 81, expect status 200, every 2 s, down after 3, "
            "up after 5",
            "none",
        ),
        ("server b 10.0.0.2:80 backup", "standby", "10.0.0.2:80", "none"),
        (
            "default-server on-marked-down shutdown-sessions",
            "streams of a server that fails",
            "closed",
            "left open",
        ),
        (
            "default-server check inter 5s",
            "health check",
            "connects, every 5 s, down after 3, up after 2",
            "none",
        ),
        (
            "option httpchk HEAD /up\n default-server check port 81",
            "health check",
            "HTTP HEAD /up, status 200-399 on port 81, every 2 s, down after 3, "
            "up after 2",
            "none",
        ),
    ],
)
def test_what_nobody_notices_while_all_is_well_is_told_apart(
    line: str, what: str, old: str, new: str
) -> None:
    server = " server a 10.0.0.1:80\n"
    text = PLAIN.replace(server, f" {line}\n{server}")
    report = only(text)
    assert report.verdict is Verdict.DIFFERS
    assert differing(report)[what] == (old, new)
    assert not any(found.routes for found in report.differences)
    assert only(text, routes_only=True).verdict is Verdict.SAME


@pytest.mark.parametrize(
    "old",
    [
        PLAIN.replace("10.0.0.1:80", "10.0.0.1:81"),
        PLAIN.replace("10.0.0.1:80", "10.0.0.1:80 send-proxy"),
        PLAIN.replace("10.0.0.1:80", "10.0.0.1:80 ssl verify none"),
        PLAIN.replace("10.0.0.1:80", "10.0.0.1:80 disabled"),
        PLAIN.replace("10.0.0.1:80", "10.0.0.1:80 weight 0"),
        PLAIN.replace(":9001", ":9001 ssl crt a.pem"),
        PLAIN.replace(":9001", ":9001 accept-proxy"),
        PLAIN.replace(":9001", "10.0.0.5:9001"),
        PLAIN + " mode http\n",
        PLAIN + " server b 10.0.0.2:80\n",
        PLAIN + " tcp-request connection silent-drop if { src 192.0.2.0/24 }\n",
        PLAIN + " tcp-request content reject if { dst_port 9000:9001 }\n",
        PLAIN + " disabled\n",
        PLAIN + " enabled\n disabled\n",
        "defaults\n disabled\n" + PLAIN,
        PLAIN.replace(":9001", ":9001 ssl crt a.pem alpn h2"),
        "defaults\n default_backend b\nfrontend one\n bind :9001\nbackend b\n",
        PLAIN + " use-server b if { src 192.0.2.0/24 }\n server b 10.0.0.2:80 backup\n",
    ],
)
def test_what_clients_notice_at_once_differs(old: str) -> None:
    report = only(old, routes_only=True)
    assert report.verdict is Verdict.DIFFERS
    assert all(found.routes for found in report.differences)


@pytest.mark.parametrize(
    "old",
    [
        "frontend f\n bind *:9001\n default_backend b\n"
        "backend b\n server x 10.0.0.1:80\n",
        "listen one 0.0.0.0:9001\n server a 10.0.0.1:80\n",
        PLAIN.replace(":9001", ":9001-9001 name x tcp-ut 30s"),
        PLAIN + " option tcplog\n log global\n option http-server-close\n",
        PLAIN + " tcp-request connection reject if FALSE || { dst_port gt 9001 }\n",
        PLAIN + " tcp-request content accept if { req.len gt 0 }\n",
        PLAIN + " tcp-request connection accept if TRUE\n"
        " tcp-request connection reject\n",
        "defaults\n mode http\n" + PLAIN + " mode tcp\n http-request deny\n",
        "defaults one\n mode http\ndefaults two\n retries 3\n" + PLAIN,
        PLAIN + " server b 10.0.0.9:80 disabled\n balance source\n",
        PLAIN + " tcp-request content accept if { payload(0,3) -m reg ^foo$ }\n",
        PLAIN + " acl end path_reg '^/foo$'\n",
        PLAIN + ' description "$HOST"\n log "$LOGS" local0\n',
        PLAIN + ' acl cost path_beg "/\\$5"\n',
        PLAIN + 'userlist u\n user a password "$6$salt$hash"\n',
        'global\n log "${LOGS}:514" local0\n' + PLAIN,
        "peers mates\n server lb1\n bind :10000\n" + PLAIN,
        PLAIN.replace(" bind", " # a\u2028 server b 10.0.0.9:80\n bind"),
        "defaults\n disabled\n" + PLAIN + " enabled\n",
        PLAIN + " disabled\n enabled\n",
    ],
)
def test_what_is_written_otherwise_is_the_same(old: str) -> None:
    assert only(old).verdict is Verdict.SAME


@pytest.mark.parametrize(
    ("old", "reason"),
    [
        (PLAIN + " tcp-request content reject if { req.len 0 }\n",
         ":4: tcp-request content reject"),
        (PLAIN + " tcp-request connection reject if { src -f deny.lst }\n",
         ":4: tcp-request connection reject"),
        (PLAIN + " acl us src office.example.com\n"
         " tcp-request connection reject unless us\n",
         ":5: tcp-request connection reject"),
        (PLAIN + " tcp-request connection reject if nothing_known\n",
         ":4: tcp-request connection reject"),
        (PLAIN + " use_backend %[src,map(m)]\n", "which backend"),
        (PLAIN + " cookie SERVERID insert\n", "cookie SERVERID"),
        (PLAIN + " mode http\n"
         " http-request set-header X-Forwarded-For %[src] if TRUE\n", "set-header X-"),
        (PLAIN + " mode http\n http-request set-uri /x\n", "set-uri"),
        (PLAIN + " stick on src\n stick-table type ip size 1k\n", "stick on src"),
        (PLAIN + " tcp-request content set-dst int(1)\n", "set-dst"),
        (PLAIN + " mode http\n http-request redirect location /\n", "redirect"),
        (PLAIN + " mode http\n http-request deny deny_status if TRUE\n", "deny …"),
        (PLAIN + " mode http\n http-request deny string x\n", "deny …"),
        (PLAIN + " mode http\n monitor-uri /up\n http-request deny\n", "monitor-uri"),
        (PLAIN + " mode http\n errorloc 403 /\n http-request deny\n", "errorloc"),
        (PLAIN + " mode http\n http-request lua.a\n http-request deny\n", "lua.a"),
        (PLAIN + " tcp-request content lua.a\n tcp-request content reject\n", "lua.a"),
        (PLAIN.replace(":9001", ":9001 ssl crt-ignore-err all")
         + " mode http\n http-request deny\n", "crt-ignore-err"),
        (PLAIN + " use-server gone\n", "use-server gone"),
        (PLAIN + " use-server u\n server u unix@/run/u\n", "server u at"),
        (PLAIN.replace("10.0.0.1:80", "10.0.0.1:+-5"), "server a at"),
        (PLAIN.replace("10.0.0.1:80", "10.0.0.1:99999"), "server a at"),
        (PLAIN.replace("10.0.0.1:80", "10.0.0.1:-9001"), "server a at"),
        (PLAIN.replace("10.0.0.1:80", "10.0.0.1:80 weight ²"), "server a: weight"),
        (PLAIN + " tcp-request connection reject if { dst_port ² }\n", ":4: tcp-req"),
        (PLAIN + " server-template s 1-3 x.example.com:80\n", "server-template"),
        (PLAIN + " a-word-of-2031 on\n", "a-word-of-2031"),
        (PLAIN.replace("10.0.0.1:80", "10.0.0.1:80 agent-check"), "agent-check"),
        (PLAIN.replace("10.0.0.1:80", "unix@/run/a.sock"), "unix@"),
        (PLAIN.replace(":9001", ":9001 strict-sni"), "strict-sni"),
        (PLAIN + "listen two\n bind :9001\n server a 10.0.0.1:80\n", "listen on"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_never_called_the_same(old: str, reason: str) -> None:
    for new in (PLAIN, old):
        report = only(old, new)
        assert report.verdict is Verdict.NOT_JUDGED
        assert reason in " ".join(report.unknown)


@pytest.mark.parametrize(
    "old",
    [
        PLAIN.replace("10.0.0.1", "${APP}"),  # addresses need no quotes
        PLAIN.replace(":9001", "$HERE:9001"),
        PLAIN + ' balance "$HOW"\n',
        'global\n maxconn "$MOST"\n' + PLAIN,
        ".if defined(X)\n" + PLAIN + ".endif\n",
        PLAIN.replace(":9001", ":::9001 v4v6"),
        PLAIN + " bind /run/one.sock\n",
        PLAIN + " bind :9003-9001\n",
        PLAIN + " use_backend\n",
        PLAIN.replace("listen one", "listen one from nothing"),
    ],
)
def test_lines_that_cannot_be_read_are_named(old: str) -> None:
    assert compared(old).unread


@pytest.mark.parametrize(
    ("line", "what", "old"),
    [
        (
            "option http-server-close",
            "connections of HTTP",
            "http-server-close, reuse safe",
        ),
        ("option forwardfor", "X-Forwarded-For", "added"),
        (
            "option forwardfor except 10.0.0.0/8",
            "X-Forwarded-For",
            "added except 10.0.0.0/8",
        ),
        (
            "http-request set-header X-Forwarded-For %[src]",
            "X-Forwarded-For",
            "replaced",
        ),
        ("stats uri /stats", "statistics at", "/stats"),
    ],
)
def test_what_requests_are_given_is_told_apart(line: str, what: str, old: str) -> None:
    web = PLAIN + " mode http\n"
    report = only(web + f" {line}\n", web)
    assert report.verdict is Verdict.DIFFERS
    assert differing(report)[what][0] == old
    assert only(web + f" {line}\n", web, routes_only=True).verdict is Verdict.SAME
    assert only(web + f" {line}\n", web + f" {line}\n").verdict is Verdict.SAME


def test_servers_named_alike_are_compared_and_others_differ() -> None:
    named = PLAIN.replace("10.0.0.1", "app.internal")
    assert only(named, named).verdict is Verdict.SAME
    assert only(named).verdict is Verdict.NOT_JUDGED


def test_address_that_moves_is_all_that_is_compared() -> None:
    old = PLAIN.replace(":9001", "10.0.0.5:9001")
    other = "listen b\n bind 10.0.0.6:9002\n server a 10.0.0.1:80\n"
    assert only(old).verdict is Verdict.DIFFERS
    assert only(old + other, arriving_at=CLIENTS_ADDRESS).verdict is Verdict.SAME


def test_listener_at_an_address_goes_before_one_at_all() -> None:
    old = PLAIN + "listen b\n bind 10.0.0.5:9001\n server a 10.0.0.2:80\n"
    (difference,) = only(old).differences
    assert difference.addresses == (CLIENTS_ADDRESS,)
    assert difference.old == "tcp to 10.0.0.2:80"


def test_rule_for_a_server_that_is_disabled_is_passed_over() -> None:
    rule = " use-server b if TRUE\n server b 10.0.0.2:80 disabled\n"
    assert only(PLAIN + rule).verdict is Verdict.SAME
    next_one = " use-server c if TRUE\n server c 10.0.0.3:80 backup\n"
    assert only(PLAIN + rule + next_one).old == "tcp to 10.0.0.3:80"


def test_standby_servers_streams_that_are_closed_are_told_apart() -> None:
    spare = PLAIN + " server b 10.0.0.2:80 backup\n"
    report = only(
        spare.replace("1:80", "1:80 on-marked-up shutdown-backup-sessions"), spare
    )
    (difference,) = report.differences
    assert (difference.old, difference.new) == ("closed", "left open")


def test_failed_server_s_streams_end_where_portway_s_keeper_does_it() -> None:
    logs = ' log-format "client=%f source=%ci:%cp node=%s"\n'
    (difference,) = only(PLAIN, PLAIN + logs).differences
    assert (difference.old, difference.new) == ("left open", "closed")
    assert only(PLAIN, PLAIN + " log-format\n").differences == ()


def test_limit_of_the_whole_process_is_compared() -> None:
    limited = "global\n maxconn 5\n" + PLAIN
    (difference,) = compared(limited).process
    assert (difference.what, difference.old, difference.new) == (
        "maxconn of global",
        "5",
        "none",
    )
    assert compared(limited, limited).process == ()
    assert compared(limited, routes_only=True).process == ()


def test_what_tls_offers_is_compared_where_there_is_tls() -> None:
    weak = "global\n ssl-default-bind-options no-tlsv13\n"
    assert compared(weak + PLAIN).process == ()
    web = PLAIN.replace(":9001", ":9001 ssl crt a.pem")
    (difference,) = compared(weak + web, web).process
    assert difference.what == "ssl-default-bind-options of global"
    denied = " mode http\n http-request deny\n"
    report = only(PLAIN + denied, web + denied)
    assert differing(report)["route"] == (
        "answered with 403",
        "answered with 403, TLS from clients (crt a.pem)",
    )
    report = only(web, web.replace("a.pem", "b.pem"))
    assert differing(report)["route"] == (
        "tcp to 10.0.0.1:80, TLS from clients (crt a.pem)",
        "tcp to 10.0.0.1:80, TLS from clients (crt b.pem)",
    )


def test_statistics_alone_are_no_difference() -> None:
    reports = compared(PLAIN + "listen admin\n bind :22002\n mode http\n stats uri /\n")
    assert [report.verdict for report in reports.ports] == ["same", "statistics"]


def test_ordered_client_is_served_as_by_a_server_with_others_as_backup() -> None:
    one = cluster({"client_name": "one", "client_port": 9001, "ordered": True})
    wanted = load_balancer(one, one.load_balancers[0])
    (new,) = (f.content for f in wanted.files if f.path.endswith("haproxy.cfg"))
    old = (
        "listen one\n bind :9001\n server app-1 10.60.0.15\n"
        " server app-2 10.60.0.16 backup\n"
    )
    report = compared(old, str(new), routes_only=True).ports[-1]
    assert (report.port, report.verdict) == (9001, Verdict.SAME)
    report = compared(old, str(new)).ports[-1]
    assert differing(report)["balance"] == (
        "one at a time, the first that is well",
        "one at a time, which is kept until it fails",
    )


def test_words_are_split_as_haproxy_splits_them() -> None:
    line = r"""acl "a b" path 'x # \y' c\ d # a comment "with" quotes"""
    assert list(split(line)) == ["acl", "a b", "path", r"x # \y", "c d"]
