"""Two real keepaliveds with the rendered configurations, each in a network of its own.

Run with one argument, a folder, in new network and mount namespaces: it starts both and
answers the commands on its standard input, a line for each.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ADDRESS = "203.0.113.9"
NETWORKS = {"lb-1": ("pair1", "10.60.0.5"), "lb-2": ("pair2", "10.60.0.6")}


def ip(*words: str) -> str:
    return subprocess.run(
        ["ip", *words], check=True, capture_output=True, text=True
    ).stdout


def connect() -> None:
    """Two networks with a wire between them, whose ends have odd names."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run/netns"], check=True)
    for network, _ in NETWORKS.values():
        ip("netns", "add", network)
    (one, _), (two, _) = NETWORKS.values()
    ip(
        "link",
        "add",
        "wire1",
        "netns",
        one,
        "type",
        "veth",
        "peer",
        "wire2",
        "netns",
        two,
    )
    for wire, (network, address) in zip(
        ("wire1", "wire2"), NETWORKS.values(), strict=True
    ):
        ip("-n", network, "addr", "add", f"{address}/24", "dev", wire)
        for device in ("lo", wire):
            ip("-n", network, "link", "set", device, "up")


def start(folder: Path, node: str, prepare: str) -> subprocess.Popen[bytes]:
    network, _ = NETWORKS[node]
    inside = ["ip", "netns", "exec", network]
    subprocess.run([*inside, "/bin/sh", "-c", prepare], check=True)
    fifo = folder / node / "address" / "vrrp.fifo"
    subprocess.run(["mkfifo", str(fifo)], check=True)
    subprocess.Popen(["sh", "-c", f"exec cat {fifo} >/dev/null"])
    return run(folder, node)


def run(folder: Path, node: str) -> subprocess.Popen[bytes]:
    network, _ = NETWORKS[node]
    inside = ["ip", "netns", "exec", network]
    for left in (folder / node).glob("*pid"):
        left.unlink()
    words = ["keepalived", "--dont-fork", "--log-console"]
    files = ["-p", "pid", "-r", "vrrp.pid", "-c", "checkers.pid"]
    config = ["-f", str(folder / f"{node}.conf")]
    with (folder / node / "log").open("wb") as log:
        return subprocess.Popen(
            [*inside, *words, *config, *files],
            cwd=folder / node,
            stdout=log,
            stderr=log,
            start_new_session=True,  # to stall it with its child
        )


def stall(keepalived: subprocess.Popen[bytes], seconds: float) -> None:
    """Stop it where it is for a moment, as a host that stalls does."""
    os.killpg(keepalived.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.killpg(keepalived.pid, signal.SIGCONT)


def masters() -> str:
    found = [
        node
        for node, (network, _) in NETWORKS.items()
        if f" {ADDRESS}/32 " in ip("-n", network, "-o", "-4", "address", "show", "lo")
    ]
    return " ".join(found)


def main() -> None:
    folder = Path(sys.argv[1])
    connect()
    running = {
        node: start(folder, node, (folder / f"{node}.sh").read_text())
        for node in NETWORKS
    }
    for line in sys.stdin:
        command, *words = line.split()
        if command == "masters":
            print(f"{time.time()} {masters()}", flush=True)
        if command == "stall":
            arguments = running[words[0]], float(words[1])
            threading.Thread(target=stall, args=arguments, daemon=True).start()
        if command == "reload":
            running[words[0]].send_signal(signal.SIGHUP)
        if command == "end":
            os.killpg(running[words[0]].pid, signal.SIGKILL)
            running[words[0]].wait()
            network, _ = NETWORKS[words[0]]
            ip("-n", network, "address", "flush", "dev", "lo")
        if command == "start":
            running[words[0]] = run(folder, words[0])


if __name__ == "__main__":
    main()
