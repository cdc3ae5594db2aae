"""A customer's side: messages sent, acknowledgements waited for, both kept count of.

Run inside a customer's namespace: ``python -m lab client -- python -m lab.messages …``.
It behaves as senders of HL7 do: one message at a time on a connection, and the same
message again on a new one if no acknowledgement comes.
"""

import argparse
import json
import signal
import socket
import sys
import threading
import time
import urllib.request
import uuid
from dataclasses import asdict, dataclass, field
from types import FrameType

import hl7
from hl7.client import MLLPClient

ACK_SECONDS = 15.0
"""How long a sender waits for an acknowledgement before it sends again."""

RETRY_SECONDS = 0.2


class NotAcknowledgedError(Exception):
    """No acknowledgement came, or a negative one."""


def message(control_id: str) -> str:
    """A small message with this control id."""
    return (
        f"MSH|^~\\&|SENDER|CUSTOMER|RECEIVER|VENDOR|20260101120000||ADT^A01|"
        f"{control_id}|P|2.5\rEVN|A01|20260101120000\r"
    )


def connect(address: str, port: int) -> MLLPClient:
    """A connection of the hl7 package's own client."""
    socket.setdefaulttimeout(ACK_SECONDS)  # the client takes no timeout of its own
    return MLLPClient(address, port)


def exchange(client: MLLPClient, control_id: str) -> str:
    """Send a message and return the text of its acknowledgement.

    Raises NotAcknowledgedError or OSError if it is not acknowledged as stored.
    """
    answer = client.send_message(message(control_id))
    if not answer:
        raise NotAcknowledgedError("the connection was closed")
    parsed = hl7.parse(answer.strip(b"\x0b\x1c\r"), encoding="utf-8")
    (acknowledgement,) = parsed.segments("MSA")
    code, about = str(acknowledgement(1)), str(acknowledgement(2))
    if (code, about) != ("AA", control_id):
        raise NotAcknowledgedError(f"{code} {about}: {acknowledgement(3)}")
    return str(acknowledgement(3))


def ask(address: str, port: int, mode: str) -> str:
    """Who acknowledges one message: the node and the port it came in on."""
    control_id = str(uuid.uuid4())
    if mode == "tcp":
        client = connect(address, port)
        with client:
            return exchange(client, control_id)
    request = urllib.request.Request(
        f"http://{address}:{port}/", data=message(control_id).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=ACK_SECONDS) as answer:  # noqa: S310
        parsed = hl7.parse(answer.read(), encoding="utf-8")
    return str(parsed.segments("MSA")[0](3))


@dataclass(slots=True)
class Sender:
    """One client that sends as fast as it is acknowledged, until told to stop."""

    address: str
    port: int
    pause: float
    acknowledged: list[str] = field(default_factory=list)
    resent: int = 0
    """Messages that were sent more than once."""
    longest_gap: float = 0.0
    """Seconds between two acknowledgements."""
    longest_refusal: float = 0.0
    """Seconds from a first failed connection to the next one that succeeded."""

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop; the message in hand is finished first."""
        client: MLLPClient | None = None
        last = time.monotonic()
        while not stop.is_set():
            control_id = str(uuid.uuid4())
            tries = 0
            while True:
                client = client or self._connect()
                tries += 1
                try:
                    exchange(client, control_id)
                    break
                except (OSError, NotAcknowledgedError):
                    client.close()
                    client = None
            now = time.monotonic()
            self.acknowledged.append(control_id)
            self.resent += tries > 1
            self.longest_gap = max(self.longest_gap, now - last)
            last = now
            stop.wait(self.pause)
        if client:
            client.close()

    def _connect(self) -> MLLPClient:
        refused_since: float | None = None
        while True:
            try:
                client = connect(self.address, self.port)
            except OSError:
                refused_since = refused_since or time.monotonic()
                time.sleep(RETRY_SECONDS)
                continue
            if refused_since is not None:
                refused = time.monotonic() - refused_since
                self.longest_refusal = max(self.longest_refusal, refused)
            return client


def load(address: str, ports: list[int], clients: int, pause: float) -> str:
    """Send with many clients until SIGTERM or SIGINT; a report as JSON."""
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    senders = [Sender(address, ports[n % len(ports)], pause) for n in range(clients)]
    threads = [threading.Thread(target=s.run, args=(stop,)) for s in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return json.dumps([asdict(sender) for sender in senders])


def stream(address: str, port: int) -> None:
    """Send on one connection for ever; end with an error when it breaks."""
    client = connect(address, port)
    number = 0
    while True:
        exchange(client, str(uuid.uuid4()))
        number += 1
        print(number, flush=True)
        time.sleep(0.02)


def main() -> None:
    """Parse the command line and do what it asks for."""
    parser = argparse.ArgumentParser(prog="python -m lab.messages")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("ask", "stream", "load"):
        command = commands.add_parser(name)
        command.add_argument("address")
        command.add_argument("ports", type=int, nargs="+" if name == "load" else 1)
        command.add_argument("--mode", choices=("tcp", "http"), default="tcp")
        command.add_argument("--clients", type=int, default=20)
        command.add_argument("--pause", type=float, default=0.05)
        command.add_argument("--count", type=int, default=1)
    wanted = parser.parse_args()
    try:
        if wanted.command == "ask":
            for _ in range(wanted.count):
                print(ask(wanted.address, wanted.ports[0], wanted.mode), flush=True)
        elif wanted.command == "stream":
            stream(wanted.address, wanted.ports[0])
        else:
            print(load(wanted.address, wanted.ports, wanted.clients, wanted.pause))
    except (NotAcknowledgedError, OSError) as error:
        sys.exit(f"not acknowledged: {error}")


if __name__ == "__main__":
    main()
