#!/usr/bin/python3 -IS
"""Succeeds while HAProxy serves; keepalived runs it once a second.

HAProxy serves if it answers on its socket, is not stopping, accepts connections for at
least one client and has a server that is up in at least one backend. A process that is
being replaced gets half a second. One that accepts the question and does not answer
counts as hung.

It watches for most of a second, so that a failure is noticed within a fraction of a
second although keepalived's intervals are whole seconds.

Usage: check-haproxy SOCKET STATS_FRONTEND
"""

import csv
import socket
import sys
import time

WATCHED = 0.75
"""Seconds that one run watches."""
PAUSE = 0.2
RETRY = 0.1
RESTART = 0.5
"""Seconds that the socket may be without a listener."""
PATIENCE = 0.5
"""Seconds that an answer may take."""

BRIEFLY = "show info"
IN_FULL = "show info; show stat -1 3 -1"


def main() -> int:
    """Watch for a while; 0 if HAProxy served all the time, 1 as soon as it does not."""
    path, stats_frontend = sys.argv[1:]
    question, absent_since = IN_FULL, None
    end = time.monotonic() + WATCHED
    while True:
        now = time.monotonic()
        try:
            answer = ask(path, question)
            if "\nStopping: 0" not in answer:  # its successor answers in a moment
                raise ConnectionError("the process is about to end")
        except TimeoutError:
            return fail("HAProxy does not answer on its socket")
        except OSError as error:
            absent_since = absent_since or now
            if now - absent_since >= RESTART:
                return fail(f"HAProxy's socket cannot be reached: {error}")
            time.sleep(RETRY)
            continue
        absent_since = None
        if problem := problem_in(answer, stats_frontend):
            return fail(problem)
        if now + PAUSE >= end:
            return 0
        question = BRIEFLY
        time.sleep(PAUSE)


def ask(path: str, question: str) -> str:
    """HAProxy's answer to commands. OSError if nothing listens or nothing is said."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(PATIENCE)
        s.connect(path)
        s.sendall(question.encode() + b"\n")
        parts = []
        while part := s.recv(65536):
            parts.append(part)
    if not parts:
        raise ConnectionError("the connection was closed")
    return b"".join(parts).decode(errors="replace")


def problem_in(answer: str, stats_frontend: str) -> str:
    """Why HAProxy does not serve, from what it says of itself; empty if it does."""
    _, _, stat = answer.partition("# pxname,")
    if not stat:
        return ""
    rows = list(csv.DictReader(f"pxname,{stat}".splitlines()))
    open_ = [
        row["pxname"]
        for row in rows
        if row["svname"] == "FRONTEND" and row["status"] in ("OPEN", "FULL")
    ]
    if not set(open_) - {stats_frontend}:
        return "HAProxy accepts no client connections"
    backends = [row["status"] for row in rows if row["svname"] == "BACKEND"]
    if backends and not any(status.startswith("UP") for status in backends):
        return "no server is up in any backend"
    return ""


def fail(reason: str) -> int:
    """Say why, for those who run it by hand."""
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
