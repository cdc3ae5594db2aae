"""Sends one test message and succeeds if it is acknowledged as stored."""

import argparse
import socket
import sys
import uuid

from .mllp import END, START


def main() -> None:
    """Parse the command line, send, and exit with 0 after AA, with 1 otherwise."""
    parser = argparse.ArgumentParser(prog="send-test-message")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    control_id = f"TEST-{uuid.uuid4()}"
    message = f"MSH|^~\\&|TEST||||20260101||ADT^A01|{control_id}|T|2.5\r"
    answer = b""
    with socket.create_connection((arguments.host, arguments.port), 10) as connection:
        connection.sendall(START + message.encode() + END)
        while not answer.endswith(END):
            received = connection.recv(4096)
            if not received:
                break
            answer += received
    if f"\rMSA|AA|{control_id}" not in answer.decode("latin-1"):
        sys.exit(f"not acknowledged: {answer!r}")


if __name__ == "__main__":
    main()
