"""A customer's side: single messages sent, and their acknowledgements looked at.

Run as a customer: ``python -m lab client -- python -m lab.traffic.messages …``.
Many clients that send all the while are ``lab.traffic.senders``.
"""

import argparse
import socket
import sys
import time
import urllib.request
import uuid

import hl7
from hl7.client import MLLPClient

ACK_SECONDS = 15.0
"""How long a sender waits for an acknowledgement before it sends again."""


class NotAcknowledgedError(Exception):
    """No acknowledgement came, or a negative one."""


def message(control_id: str) -> str:
    """A small message with this control id."""
    return (
        f"MSH|^~\\&|SENDER|CUSTOMER|RECEIVER|VENDOR|20260101120000||ADT^A01|"
        f"{control_id}|P|2.5\rEVN|A01|20260101120000\r"
    )


def connect(address: str, port: int, seconds: float = ACK_SECONDS) -> MLLPClient:
    """A connection of the hl7 package's own client, which waits so long for answers."""
    socket.setdefaulttimeout(seconds)  # the client takes no timeout of its own
    return MLLPClient(address, port)


def exchange(client: MLLPClient, control_id: str) -> str:
    """Send a message and return the text of its acknowledgement.

    Raises NotAcknowledgedError or OSError if it is not acknowledged as stored.
    """
    answer = client.send_message(message(control_id))
    if not answer:
        raise NotAcknowledgedError("the connection was closed")
    return check_acknowledgement(answer.strip(b"\x0b\x1c\r"), control_id)


def check_acknowledgement(answer: bytes, control_id: str) -> str:
    """The text of an acknowledgement, if it says that this message is stored."""
    parsed = hl7.parse(answer, encoding="utf-8")
    (acknowledgement,) = parsed.segments("MSA")
    code, about = str(acknowledgement(1)), str(acknowledgement(2))
    if (code, about) != ("AA", control_id):
        raise NotAcknowledgedError(f"{code} {about}: {acknowledgement(3)}")
    return str(acknowledgement(3))


def ask(address: str, port: int, mode: str, seconds: float) -> str:
    """Who acknowledges one message: the node and the port it came in on."""
    control_id = str(uuid.uuid4())
    if mode == "tcp":
        client = connect(address, port, seconds)
        with client:
            return exchange(client, control_id)
    request = urllib.request.Request(
        f"http://{address}:{port}/", data=message(control_id).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
        parsed = hl7.parse(answer.read(), encoding="utf-8")
    return str(parsed.segments("MSA")[0](3))


def stream(address: str, port: int) -> None:
    """Send on one connection for ever; end with an error when it breaks."""
    client = connect(address, port)
    number = 0
    while True:
        exchange(client, str(uuid.uuid4()))
        number += 1
        print(number, flush=True)
        time.sleep(0.05)


def main() -> None:
    """Parse the command line and do what it asks for."""
    parser = argparse.ArgumentParser(prog="python -m lab.traffic.messages")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("ask", "stream"):
        command = commands.add_parser(name)
        command.add_argument("address")
        command.add_argument("port", type=int)
        command.add_argument("--mode", choices=("tcp", "http"), default="tcp")
        command.add_argument("--count", type=int, default=1)
        command.add_argument("--wait", type=float, default=ACK_SECONDS, dest="seconds")
    wanted = parser.parse_args()
    try:
        if wanted.command == "ask":
            for _ in range(wanted.count):
                answer = ask(wanted.address, wanted.port, wanted.mode, wanted.seconds)
                print(answer, flush=True)
        else:
            stream(wanted.address, wanted.port)
    except (NotAcknowledgedError, OSError) as error:
        sys.exit(f"not acknowledged: {error}")


if __name__ == "__main__":
    main()
