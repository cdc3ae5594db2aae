"""Load balancers that answer with their names, for tests of where an address leads."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.lab.system import System

ANSWER_WITH_NAME = """
import http.server, socket, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (socket.gethostname() + " sees " + self.client_address[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Answer).serve_forever()
"""


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not come about in time"
        time.sleep(0.1)


def fetch(lab: System, url: str, source: str | None = None) -> str:
    return lab.client("curl", "--silent", "--max-time", "2", url, source=source)


def wait_for_port(lab: System, node: str, port: int) -> None:
    until(lambda: f":{port} " in lab.execute(node, "ss", "-ltn"))


@contextmanager
def served(lab: System, *ports: str) -> Iterator[None]:
    """Both load balancers answer on these ports with their names."""
    units = []
    for node in ("lb-1", "lb-2"):
        for port in ports:
            unit = f"--unit=answer-{port}"
            program = ["python3", "-c", ANSWER_WITH_NAME, port]
            lab.execute(node, "systemd-run", "--quiet", "--collect", unit, *program)
            units.append((node, f"answer-{port}.service"))
        wait_for_port(lab, node, int(ports[0]))
    yield
    for node, unit in units:
        lab.execute(node, "systemctl", "stop", unit)
