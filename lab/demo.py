"""The main job, shown: a stack, one command, and traffic to every client's port."""

import json
import subprocess
import sys
from pathlib import Path

from lab import lifecycle, status
from lab.errors import LabError
from lab.names import Lab

PROJECT = Path(__file__).parents[1]
CLIENTS = PROJECT / "group_data" / "clients" / "lab.json"

ASK = """
import socket, sys, urllib.request
address, port, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if mode == "http":
    with urllib.request.urlopen(f"http://{address}:{port}/", timeout=5) as answer:
        print(answer.read().decode())
else:
    with socket.create_connection((address, port), 5) as s:
        s.sendall(b"hello\\n")
        print(s.makefile().readline())
"""

NEXT = """
The lab is up. Look around in it:
    .venv/bin/python -m lab status
    .venv/bin/python -m lab run -- pyinfra inventories/lab.py deploys/lb.py
    .venv/bin/python -m lab client -- curl http://{address}:9004/
    .venv/bin/python -m lab exec lb-1 -- systemctl status haproxy keepalived
and take it down:
    .venv/bin/python -m lab down
"""


def run(lab: Lab) -> None:
    """Bring the lab up, deploy to it, and show which node answers each client."""
    lifecycle.up(lab, None, None)
    print(status.table(status.read(lab)), flush=True)
    _run(lab, "run", "pyinfra", "inventories/lab.py", "deploys/lb.py", "-y")
    address = str(status.read(lab)["elastic_ip"]["address"])
    print(f"\nEach client, through the Elastic IP {address}:\n")
    print(f"    {'client':<20} {'port':>5}  {'mode':<4}  answered by")
    for client in json.loads(CLIENTS.read_text())["clients"]:
        name, port = client["client_name"], client["client_port"]
        mode = client.get("mode", "tcp")
        node, seen, *_ = _ask(lab, address, port, mode).split(" ")
        if int(seen) != port:
            raise LabError(f"{name}: port {port} was answered on port {seen}")
        print(f"    {name:<20} {port:>5}  {mode:<4}  {node}", flush=True)
    print(NEXT.format(address=address), end="")


def _ask(lab: Lab, address: str, port: int, mode: str) -> str:
    words = (sys.executable, "-c", ASK, address, str(port), mode)
    return _run(lab, "client", *words, capture=True).strip()


def _run(lab: Lab, command: str, *words: str, capture: bool = False) -> str:
    """Run one of the lab's own commands, as anyone would."""
    result = subprocess.run(  # noqa: S603 - the lab's own command line
        [sys.executable, "-m", "lab", command, "--name", lab.name, "--", *words],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise LabError(f"{' '.join(words)!r} ended with status {result.returncode}")
    return result.stdout or ""
