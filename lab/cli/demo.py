"""Shows the main job: a stack, one command, and messages from every client."""

import json
import subprocess
import sys
from typing import Any

from lab.errors import LabError
from lab.lifecycle import status
from lab.lifecycle.up import up
from lab.plan.names import Lab
from lab.plan.project import CLIENTS, PROJECT

MESSAGES = 5
"""How many each client sends."""

NEXT = """
The lab is up. Look around in it:
    .venv/bin/python -m lab status
    .venv/bin/python -m lab run -- pyinfra inventories/lab.py deploys/site.py
    .venv/bin/python -m lab client -- curl http://{address}:9004/
    .venv/bin/python -m lab exec lb-1 -- systemctl status haproxy keepalived
See nodes come back by themselves that AWS terminates, in about five minutes:
    .venv/bin/python -m lab demo --agent
and take it down:
    .venv/bin/python -m lab down
"""


def run(lab: Lab) -> None:
    """Bring the lab up, deploy to it, and show what becomes of clients' messages."""
    up(lab)
    print(status.table(status.read(lab)), flush=True)
    call(lab, "run", "--", "pyinfra", "inventories/lab.py", "deploys/site.py", "-y")
    address = str(status.read(lab)["address"]["address"])
    before = _stored(lab)
    clients = json.loads(CLIENTS.read_text())["clients"]
    answers = {client["client_name"]: _send(lab, address, client) for client in clients}
    stored = _stored(lab)
    print(f"\nMessages of each client, sent to {address}:\n")
    print(f"    {'client':<20} {'port':>5}  {'mode':<4}  acknowledged  stored  by")
    for client in clients:
        name, port = client["client_name"], client["client_port"]
        nodes = sorted({answer.split(" ")[0] for answer in answers[name]})
        new = stored.get(name, 0) - before.get(name, 0)
        print(
            f"    {name:<20} {port:>5}  {client.get('mode', 'tcp'):<4}  "
            f"{len(answers[name]):>12}  {new:>6}  {', '.join(nodes)}"
        )
        if new != len(answers[name]) or {a.split(" ")[1] for a in answers[name]} != {
            str(port)
        }:
            raise LabError(f"{name}: {answers[name]} acknowledged, {new} stored")
    print(NEXT.format(address=address), end="", flush=True)


def _send(lab: Lab, address: str, client: dict[str, Any]) -> list[str]:
    """What acknowledges each of a client's messages: a node, and the port it saw."""
    program = (
        sys.executable,
        "-m",
        "lab.traffic.messages",
        "ask",
        "--count",
        str(MESSAGES),
    )
    mode, port = client.get("mode", "tcp"), str(client["client_port"])
    words = ("--", *program, "--mode", mode, address, port)
    return call(lab, "client", *words, capture=True).splitlines()


def _stored(lab: Lab) -> dict[str, int]:
    """How many messages of each client the database holds, asked of itself."""
    query = "SELECT client || ' ' || count(*) FROM messages.messages GROUP BY client"
    psql = ("runuser", "-u", "postgres", "--", "psql", "-qtAX", "-d", "messages")
    lines = call(lab, "exec", "db-1", "--", *psql, "-c", query, capture=True)
    rows = (line.split(" ") for line in lines.splitlines())
    return {client: int(count) for client, count in rows}


def call(lab: Lab, command: str, *words: str, capture: bool = False) -> str:
    """Run one of the lab's own commands, as anyone would; LabError if it fails."""
    result = subprocess.run(  # noqa: S603 - the lab's own command line
        [sys.executable, "-m", "lab", command, "--name", lab.name, *words],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise LabError(f"{' '.join(words)!r} ended with status {result.returncode}")
    return result.stdout or ""
