"""What HAProxy says on its sockets is understood."""

from pathlib import Path

import pytest

from portway.node.streams import haproxy
from portway.node.streams.haproxy import (
    NEWEST,
    Failed,
    Haproxy,
    Process,
    Server,
    Stream,
)

HEAD = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,"
HEAD += "eresp,wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,"
HEAD += "qlimit,pid,iid,sid,addr,"


def row(name: str, status: str, streams: int, sid: int, act: int = 1) -> str:
    cells = ["o", name, "0", "0", str(streams), *["0"] * 12, status, "1", str(act)]
    return ",".join([*cells, *["0"] * 8, str(sid), f"192.0.2.{sid}:0", ""])


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Answers by the beginning of the question."""
    answers: dict[str, str] = {}

    def ask(path: Path, commands: list[str]) -> str:
        del path
        return next(t for q, t in answers.items() if commands[0].startswith(q))

    monkeypatch.setattr(haproxy, "_ask", ask)
    return answers


@pytest.mark.parametrize("shard", ["", "shard=0 "])
def test_ordered_backend(said: dict[str, str], shard: str) -> None:
    rows = [
        row("app-1", "UP 1/2", 3, 1),
        row("app-2", "DRAIN", 1, 2),
        row("app-3", "DOWN", 0, 3),
        row("BACKEND", "UP", 4, 0, act=1),
    ]
    entry = f"0x55: key=1 use=0 exp=0 {shard}server_id=2 gpt0=2 server_key=app-2"
    table = f"# table: o, type: integer, size:1024, used:1\n{entry}\n"
    said["show stat"] = "\n".join([HEAD, *rows, "", table])
    (found,) = Haproxy().backends(["o"]).values()
    assert found.servers == (
        Server("app-1", 1, "192.0.2.1", usable=True, alive=True, streams=3),
        Server("app-2", 2, "192.0.2.2", usable=False, alive=True, streams=1),
        Server("app-3", 3, "192.0.2.3", usable=False, alive=False, streams=0),
    )
    assert (found.usable, found.chosen, found.approved) == (1, "app-2", 2)
    assert not found.is_approved


def test_backend_of_another_configuration_is_none(said: dict[str, str]) -> None:
    said["show stat"] = f"{HEAD}\n\nNo such table\n\n"
    assert Haproxy().backends(["o"]) == {}


def test_workers(said: dict[str, str]) -> None:
    said["show proc"] = (
        "#<PID> <type> <reloads> <uptime> <version>\n1 master 2 0d00h10m 3.0\n"
        "# workers\n9 worker 0 0d00h01m 3.0\n"
        "# old workers\n8 worker 1 0d00h05m 3.0\n7 worker 2 0d00h10m 3.0\n# programs\n"
    )
    older = (Process(8, "0d00h05m"), Process(7, "0d00h10m"))
    assert Haproxy().workers() == (9, older)


def test_streams_without_those_of_the_sockets_themselves(said: dict[str, str]) -> None:
    said["show sess"] = (
        "0x5581: proto=tcpv4 src=198.51.100.10:4000 fe=one be=o srv=app-1 ts=00 "
        "scf=[8,0h,fd=1] scb=[8,1h,fd=2]\n"
        "0x5582: proto=tcpv6 src=2001:db8::1:4001 fe=one be=o srv=<none> ts=00 "
        "scf=[8,0h,fd=3] scb=[0,1h,fd=-1]\n"
        "0x5583: proto=sockpair src=unix:2 fe=GLOBAL be=<NONE> srv=<none> ts=00 \n"
    )
    assert Haproxy().streams(NEWEST) == [
        Stream(NEWEST, "0x5581", ("198.51.100.10", 4000), "one", "o", "app-1", True),
        Stream(NEWEST, "0x5582", ("2001:db8::1", 4001), "one", "o", "<none>", False),
    ]


def test_node_fails_when_it_is_down_in_every_backend(said: dict[str, str]) -> None:
    rest = " ".join(["0"] * 13)
    said["show servers"] = "\n".join(
        f"3 {backend} 1 {name} {address} {state} {admin} {rest}"
        for backend, name, address, state, admin in (
            ("a", "app-1", "10.60.0.7", 0, 0),
            ("b", "app-1", "10.60.0.7", 0, 0),
            ("a", "app-2", "10.60.0.8", 0, 0),
            ("b", "app-2", "10.60.0.8", 2, 0),
            ("a", "app-3", "10.60.0.9", 0, 1),
        )
    )
    assert Haproxy().failed() == Failed(frozenset({"10.60.0.7"}), frozenset())


def test_server_that_is_down_counts_while_it_has_streams(said: dict[str, str]) -> None:
    rows = [
        row("app-1", "DOWN 1/2", 3, 1),
        row("app-2", "DOWN", 0, 2),
        row("app-3", "MAINT", 1, 3),
        row("app-4", "UP", 2, 4),
    ]
    said["show servers"] = "\n".join([HEAD, *rows])
    assert Haproxy().failed().servers == frozenset({("o", "app-1")})


def test_server_that_refuses_its_checks_has_not_failed(said: dict[str, str]) -> None:
    rest = " ".join(["0"] * 13)
    states = [f"3 o 1 app-{n} 10.60.0.{n} 0 0 {rest}" for n in (1, 2)]
    rows = [row(f"app-{n}", "DOWN", 3, n) for n in (1, 2)]
    rows[0] += "," * 8 + "L4CON,,0,,,,,,,,,,,,,,,,,,Connection refused at step 1,"
    rows[1] += "," * 8 + "L4TOUT,,3000,,,,,,,,,,,,,,,,,, at step 1,"
    said["show servers"] = "\n".join([*states, HEAD, *rows])
    failed = Failed(frozenset({"10.60.0.2"}), frozenset({("o", "app-2")}))
    assert Haproxy().failed() == failed


def test_stream_whose_server_side_is_closed_is_on_no_node(said: dict[str, str]) -> None:
    """As HAProxy 3.0 leaves one that was shut down while it connected."""
    line = (
        "{}: proto=tcpv4 src=198.51.100.10:59986 fe=one be=o srv=app-2 ts=00 "
        "epoch=0x12 age=1m45s rq[f=808000h,i=0,an=00h,ax=] "
        "rp[f=80000000h,i=0,an=00h,ax=] scf=[8,14000h,fd=65,rex=,wex=] "
        "scb=[{},30005h,fd=66,rex=,wex=] exp= rc=0\n"
    )
    said["show sess"] = line.format("0x1", 10) + line.format("0x2", 8)
    found = Haproxy().streams(NEWEST)
    assert [(s.id, s.server) for s in found] == [("0x1", "<none>"), ("0x2", "app-2")]


def test_only_what_is_established_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(haproxy, "_ask", lambda _, commands: told.extend(commands))
    source = ("198.51.100.10", 4000)
    Haproxy().close(
        Stream(NEWEST, id_, source, "one", "o", "app-1", is_established)
        for id_, is_established in (("0x1", False), ("0x2", True))
    )
    assert told == ["shutdown session 0x2"]
