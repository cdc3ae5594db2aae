"""What a comparison says of two files is what connections see."""

import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from portway.haproxy_files.comparison import Verdict, compare
from portway.haproxy_files.sections import read
from portway.model.stack import Ports
from tests.integration.haproxy_files.backends import seen, servers
from tests.integration.haproxy_files.files import (
    SERVERS,
    SOURCES,
    changed,
    rendered,
    services,
    written,
)
from tests.integration.ports import free_ports

PAIRS = 25
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.3"
CONNECTIONS = [(source, HERE) for source in SOURCES] + [(SOURCES[0], ELSEWHERE)]
REFUSALS = {"closed", "answered with 403", "answered with 503", "nobody listens"}
Seen = dict[tuple[str, str, int], frozenset[str]]
"""By source, address and port."""


@contextmanager
def running(text: str, path: Path, ports: list[int]) -> Iterator[None]:
    """HAProxy with a file, until it listens."""
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    assert haproxy, "the haproxy package is needed: apt-get install haproxy"
    path.write_text(text)
    process = subprocess.Popen(
        [haproxy, "-db", "-f", str(path)], stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 10
        while all(seen(SOURCES[0], HERE, port) == "nobody listens" for port in ports):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline, "HAProxy does not listen"
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.communicate()


def look(text: str, path: Path, ports: list[int]) -> Seen:
    """What connections see: of those that are served, every server's turn."""
    found: Seen = {}
    with running(text, path, ports):
        for port in ports:
            for source, address in CONNECTIONS:
                answers = {seen(source, address, port)}
                if not answers & REFUSALS:
                    answers |= {seen(source, address, port) for _ in SERVERS[1:]}
                found[source, address, port] = frozenset(answers)
    return found


@pytest.fixture(scope="module")
def ports() -> Iterator[list[int]]:
    """Five for clients, then the application's, its checks' and the statistics'."""
    found = sorted(free_ports(8))
    with servers(list(SERVERS), found[:7]):
        yield found


def test_verdict_is_what_connections_see(ports: list[int], tmp_path: Path) -> None:
    counted: Counter[str] = Counter()
    for seed in range(PAIRS):
        counted += judged(random.Random(seed), ports, tmp_path)
    assert min(counted["same"], counted["differs"]) > 100
    for answer in REFUSALS:
        assert counted[answer] > 10
    assert counted["not judged"] > 5


def judged(dice: random.Random, ports: list[int], folder: Path) -> Counter[str]:
    """Hold one pair's verdict against its traffic, and count what was seen."""
    public, app_port = ports[:5], ports[5]
    before = services(dice, public, app_port)
    after = [c for s in before if (c := changed(dice, s, app_port))]
    old = written(dice, before)
    is_rendered = dice.random() < 0.6
    new = (
        rendered(after, Ports(1024, 65535, health=ports[6], stats=ports[7]))
        if is_rendered
        else written(dice, after)
    )
    sides = before if is_rendered else [*before, *after]
    not_judged = {service.port for service in sides if not service.is_judged}
    said = compare(read(old, "old"), read(new, "new"))
    was = look(old, folder / "old.cfg", public)
    now = look(new, folder / "new.cfg", public)

    assert said.unread == ()
    counted: Counter[str] = Counter()
    for report in said.ports:
        if report.port == ports[7]:
            assert report.verdict is Verdict.STATISTICS
            continue
        is_judged = report.verdict is not Verdict.NOT_JUDGED
        assert is_judged == (report.port not in not_judged), report.unknown
        if not is_judged:
            counted["not judged"] += 1
            continue
        for source, address in CONNECTIONS:
            key = source, address, report.port
            to = IPv4Address(address) if address == HERE else None
            differs = any(
                found.routes and found.concerns(IPv4Address(source), to)
                for found in report.differences
            )
            assert differs == (was[key] != now[key]), (
                f"{key} saw {was[key]}, then {now[key]}: {report}\n{old}\n{new}"
            )
            counted["differs" if differs else "same"] += 1
            counted.update(was[key] | now[key])
    return counted
