"""Each client is seen, served in time, and named when nobody serves it."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from portway.ops.service_scripts import (
    reload_script,
)
from portway.render.load_balancer import HAPROXY
from tests.lab.deploys.web_servers import wait_for_port
from tests.lab.system import System, output, wait_until

LISTED, WEB, HALF, NOWHERE, TAKEN = 9005, 10901, 10902, 10903, 10904
ANSWER = """
import http.server, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/stuck":
            time.sleep(60)
        body = repr(self.headers.get_all("X-Forwarded-For")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Answer).serve_forever()
"""
SILENT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
"""
CONNECT = """
import socket, sys, time
address, source, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = socket.create_connection((address, port), 5, ("", source))
time.sleep(600)
"""


@dataclass
class Site:
    """A lab with clients of several kinds."""

    system: System
    inside: str
    """The customer that ``listed`` admits."""
    outside: str
    data: tuple[str, ...]
    """Options of the runs that leave it as it is."""
    said: str
    """What the run that made it printed."""

    def curl(self, *words: str) -> str:
        """What a customer's curl prints."""
        words = ("curl", "--silent", "--max-time", "10", *words)
        return self.system.client(*words, source=self.outside)

    def log(self, client: str) -> list[dict[str, str]]:
        """The lines about a client in the journal of the load balancer it reached."""
        script = (
            f"journalctl --sync; journalctl -q -o cat -u haproxy -g 'client={client} '"
        )
        lines = self.system.node(self.system.holder, script, check=False).stdout
        return [
            dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))
            for line in lines.splitlines()
        ]


def clients(inside: str) -> str:
    entries = [
        {"client_name": "client_one", "client_port": 9001},
        {"client_name": "listed", "client_port": LISTED, "allow": [f"{inside}/32"]},
        {"client_name": "web", "client_port": WEB, "mode": "http", "nodes": ["app-1"]},
        {"client_name": "half", "client_port": HALF, "mode": "http"},
        {"client_name": "nowhere", "client_port": NOWHERE},
    ]
    return json.dumps({"clients": entries})


@pytest.fixture(scope="module")
def site(settled: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    inside, outside = settled.status()["customers"][:2]
    file = tmp_path_factory.mktemp("clients") / "clients.json"
    file.write_text(clients(inside))
    servers = (("app-1", WEB), ("app-2", HALF))
    for node, port in servers:
        run = ("systemd-run", "--quiet", "--collect", f"--unit=answer-{port}")
        settled.execute(node, *run, "python3", "-c", ANSWER, str(port))
        wait_for_port(settled, node, port)
    data = ("--data", f"clients_file={file}", "--data", "http_timeout=2")
    # As if Portway had not deployed the application: nothing says what it serves.
    record, kept = "/run/portway/loaded/message-app", "/run/record-of-message-app"
    for node, _ in servers:
        settled.node(node, f"mv {record} {kept}")
    said = output(settled.deploy("-y", *data))
    yield Site(settled, inside, outside, data, said)
    for node, _ in servers:
        settled.node(node, f"mv {kept} {record}")
    for node, port in servers:
        settled.execute(node, "systemctl", "stop", f"answer-{port}")
    settled.deploy()


def test_run_names_the_client_that_nobody_serves_and_no_other(site: Site) -> None:
    ((client, why),) = re.findall(r"nobody serves (\S+): (.*)", site.said)
    assert client == "nowhere"
    either = "(app-1, app-2|app-2, app-1)"  # by when they were launched
    assert re.fullmatch(f"port {NOWHERE} of {either}: Connection refused", why), why


def test_client_whose_port_is_closed_on_one_node_is_served_by_the_other(
    site: Site,
) -> None:
    for _ in range(4):
        assert "None" not in site.curl(f"http://{site.system.address}:{HALF}/")
        assert site.log("half")[-1]["status"] == "200"


def test_refused_and_silent_clients_leave_a_line(site: Site) -> None:
    where = site.system.address, str(LISTED)
    for source in (site.inside, site.outside):
        site.system.client(sys.executable, "-c", SILENT, *where, source=source)

    def ends() -> dict[str, str]:
        lines = site.log("listed")
        return {line["source"].split(":")[0]: line["end"] for line in lines}

    wait_until(lambda: len(ends()) == 2, 10, "a line for each")
    assert ends()[site.outside] == "PR"
    assert ends()[site.inside] != "PR"


def test_http_client_gets_504_and_cannot_forge_its_address(site: Site) -> None:
    url = f"http://{site.system.address}:{WEB}"
    forged = ("-H", "X-Forwarded-For: 6.6.6.6")
    assert site.curl(*forged, url) == f"['{site.outside}']"
    code = ("-o", "/dev/null", "-w", "%{http_code} %{time_total}")
    status, seconds = site.curl(*code, f"{url}/stuck").split()
    assert status == "504"
    assert 2 <= float(seconds) < 6
    assert site.log("web")[-1]["end"] == "sH"


def test_statistics_are_for_operators_whatever_the_security_group_opens(
    site: Site,
) -> None:
    """A client that gets through the security group has any address but theirs."""
    system, holder = site.system, site.system.holder
    own = system.addresses("load-balancer")[holder]
    url = f"http://{own}:8404/metrics"
    assert "haproxy_frontend" in system.run("curl", "--silent", url)
    curl = f"curl --silent --max-time 5 --interface {system.address} {url}"
    refused = system.node(holder, curl, check=False)
    assert refused.returncode in (7, 55, 56), "reset, during the handshake or after it"
    assert refused.stdout == ""


def test_server_that_is_down_anywhere_is_told_with_haproxy_s_reason(site: Site) -> None:
    faults = "/etc/message-app/faults.json"
    site.system.node("app-2", f'echo \'{{"health": "426 Upgrade"}}\' >{faults}')
    socket = "socat - UNIX-CONNECT:/run/haproxy/admin.sock"
    down = f"echo show stat | {socket} | grep -q ',app-2,.*,DOWN,'"
    try:
        for lb in ("lb-1", "lb-2"):
            site.system.node(lb, f"until {down}; do sleep 0.2; done")
        text = output(site.system.deploy("-y", *site.data))
    finally:
        site.system.node("app-2", f"rm {faults}")
        up = down.replace("DOWN", "UP")
        for lb in ("lb-1", "lb-2"):
            site.system.node(lb, f"until {up}; do sleep 0.2; done")
    (line,) = re.findall(r"lb-1 and lb-2 see app-2 as down in .*", text)
    assert "L7STS/426" in line


def test_outgoing_connection_on_a_new_client_s_port_is_named(
    site: Site, clients_file: Path
) -> None:
    lb, peer = "lb-2", site.system.addresses("application")["app-2"]
    run = ("systemd-run", "--quiet", "--collect", "--unit=taken")
    site.system.execute(lb, *run, "python3", "-c", CONNECT, peer, str(TAKEN), str(HALF))
    entry = {"client_name": "late", "client_port": TAKEN}
    clients_file.write_text(json.dumps({"clients": [entry]}))
    connected = f"until ss -Htn | grep -q ':{TAKEN} '; do sleep 0.1; done"
    site.system.node(lb, connected)
    try:
        before = site.system.file_states()
        result = site.system.deploy(
            "-y", "--data", f"clients_file={clients_file}", check=False
        )
        assert result.returncode != 0
        assert (
            f"late: port {TAKEN} is taken by an outgoing connection of python3 to "
            f"{peer}:{HALF} on this node"
        ) in " ".join(output(result).split())
        assert site.system.file_states() == before
    finally:
        site.system.execute(lb, "systemctl", "stop", "taken")


BOUND = """
import socket, sys, time
held = socket.socket()
held.bind(("", int(sys.argv[1])))
time.sleep(600)
"""
SOONER = ("-ge 150", "-ge 15")
"""A reload is given up after 3 s instead of 30."""


def test_reload_that_fails_says_why_and_not_who_connected(site: Site) -> None:
    """It is made without the look at ports that would have refused it."""
    system, lb = site.system, site.system.holder
    config, kept = HAPROXY.config, "/run/haproxy.cfg-of-test"
    run = ("systemd-run", "--quiet", "--collect", "--unit=taken")
    system.execute(lb, *run, "python3", "-c", BOUND, str(TAKEN))
    late = rf"\nfrontend late\n    mode tcp\n    bind :{TAKEN}\n"
    system.node(lb, f"cp -p {config} {kept}; printf '{late}' >>{config}")
    where = f"{system.address}", "9001"
    try:
        for _ in range(5):
            system.client(sys.executable, "-c", SILENT, *where, source=site.outside)
        result = system.node(lb, reload_script(HAPROXY).replace(*SOONER), check=False)
    finally:
        system.execute(lb, "systemctl", "stop", "taken")
        system.node(lb, f"mv {kept} {config}\n{reload_script(HAPROXY)}")
    assert result.returncode == 1
    first, *said = result.stderr.splitlines()
    assert first == "haproxy did not load its new configuration"
    assert f":{TAKEN}" in "".join(said)
    assert "annot bind" in "".join(said)
    assert [line for line in said if "[ALERT]" not in line] == []


STORM = """
import concurrent.futures, socket, sys
where = sys.argv[1], int(sys.argv[2])
def knock(_):
    try:
        socket.create_connection(where, 5).close()
    except OSError:
        return False
    return True
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(knock, range(10_000))))
"""


def test_storm_is_logged_within_bounds_and_drowns_nothing(site: Site) -> None:
    system, holder = site.system, site.system.holder
    admin = "socat - UNIX-CONNECT:/run/haproxy/admin.sock"
    known = len(site.log("listed"))
    limit = "readlink /run/systemd/units/log-rate-limit-burst:haproxy.service"
    assert system.node(holder, limit).stdout.strip() == "5000", "not in force"

    def dropped() -> int:
        info = system.node(holder, f"echo show info | {admin}").stdout
        return int(info.partition("DroppedLogs: ")[2].split()[0])

    before = dropped()
    where = system.address, str(LISTED)
    came = system.client(sys.executable, "-c", STORM, *where, source=site.outside)
    for word in ("down", "up"):
        command = f"set server tcp_leastconn/app-2 health {word}"
        system.node(holder, f"echo {command} | {admin}")
    lines = len(site.log("listed")) - known
    lost = dropped() - before
    since = "journalctl -q -o cat --since -2min"
    text = system.node(holder, f"{since} -g 'Suppressed|app-2 is DOWN'").stdout
    print(f"of {came.strip()} connections {lines} left a line, {lost} were dropped")
    assert "app-2 is DOWN" in text
    assert int(came) > 9_900, "a storm"
    assert lines + lost >= int(came) or "Suppressed" in text
