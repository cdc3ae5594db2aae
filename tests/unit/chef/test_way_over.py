"""From an export to a file of HAProxy's that routes as the old one did."""

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from portway.chef.documents import read as read_export
from portway.chef.takeover import Wanted, take_over
from portway.haproxy_files.comparison import Comparison, Verdict, compare
from portway.haproxy_files.sections import read
from portway.model.build import build_cluster
from portway.model.clients import parse_clients
from portway.model.settings import settings_from
from portway.model.stack import Ports
from portway.render.load_balancer import load_balancer
from tests.unit.samples import stack

DATA = Path(__file__).parent / "data" / "bags"
OLD = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 50000
  timeout server 50s
  balance roundrobin
  option redispatch
listen acme
  bind 10.0.0.5:9001
  tcp-request connection reject unless { src 198.51.100.0/24 203.0.113.7 }
  server app1 10.0.0.11 check port 8081
  server app2 10.0.0.12 check port 8081
listen globex
  bind 10.0.0.5:9002
  server app1 10.0.0.11:9102 check
  server app2 10.0.0.12:9102 check
listen admin
  bind 127.0.0.1:22002
  mode http
  stats uri /
"""


def compared(old: str) -> Comparison:
    exports = [DATA / f"{name}.json" for name in ("lb", "acme", "globex")]
    found = take_over([read_export(f.read_text(), f.name) for f in exports], Wanted())
    assert found.problems == ()
    settings = settings_from({"clients_file": "clients.json", **found.settings})
    plain = replace(stack(), ports=Ports(1024, 65535, health=8081, stats=8404))
    cluster = build_cluster(plain, settings, parse_clients(found.clients, "c.json"))
    wanted = load_balancer(cluster, cluster.load_balancers[0])
    (new,) = (f.content for f in wanted.files if f.path.endswith("haproxy.cfg"))
    files = read(old, "old"), read(str(new), "new")
    return compare(*files, arriving_at=IPv4Address("10.0.0.5"))


def test_what_is_taken_over_routes_as_it_did() -> None:
    found = compared(OLD)
    assert found.unread == ()
    assert [(r.port, r.verdict) for r in found.ports] == [
        (9001, Verdict.DIFFERS),
        (9002, Verdict.DIFFERS),
    ]
    differing = {d.what for report in found.ports for d in report.differences}
    # The wish of this project, not the old file's.
    assert differing == {
        "health check",
        "keepalives to clients",
        "keepalives to servers",
        "streams of a server that fails",
    }


def test_client_that_the_export_does_not_have_is_found() -> None:
    more = "listen initech\n  bind 10.0.0.5:9003\n  server app1 10.0.0.11\n"
    (report,) = (r for r in compared(OLD + more).ports if r.port == 9003)
    assert report.verdict is Verdict.DIFFERS
    assert report.new == "nobody listens"
