"""How an application node is asked whether it is healthy. Pure.

HAProxy's check and Portway's own are both made from this value, so that a node cannot
be healthy for one and ill for the other.
"""

from dataclasses import dataclass

ANSWER_TIMEOUT = 3
"""Seconds that the answer may take."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A request to the health port that must be answered with status 200."""

    port: int
    path: str | None
    """None: it is enough that the port accepts a connection."""
    host: str
    """The request's Host header."""
    connect_timeout: float
    """Seconds that the connection may take."""

    @property
    def request(self) -> str:
        """What is sent, to the byte what HAProxy sends; empty if nothing is."""
        if self.path is None:
            return ""
        head = f"GET {self.path} HTTP/1.1", f"host: {self.host}", "connection: close"
        return "".join(f"{line}\r\n" for line in (*head, ""))
