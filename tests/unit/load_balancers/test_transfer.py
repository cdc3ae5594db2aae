"""What a transfer says of the node that gave the address away."""

import pytest

from portway.errors import PortwayError
from portway.load_balancers import transfer
from portway.load_balancers.haproxy import BackendServer, Balancing

SERVER = BackendServer("tcp", "app-1", "10.60.0.6", True, False, sessions=2)


def said(monkeypatch: pytest.MonkeyPatch, answer: Balancing | PortwayError) -> str:
    def ask(*_: object) -> Balancing:
        if isinstance(answer, PortwayError):
            raise answer
        return answer

    monkeypatch.setattr(transfer, "node_of_run", lambda name: name)
    monkeypatch.setattr(transfer, "ask", ask)
    return transfer.streams_left("lb-1")


def test_streams_of_every_worker_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Balancing(servers=(SERVER,), older=(SERVER,))
    assert said(monkeypatch, both).startswith("lb-1 still has 4 streams, which may")
    assert said(monkeypatch, Balancing()) == ""


def test_node_that_cannot_be_asked_fails_no_transfer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = said(monkeypatch, PortwayError("lb-1 does not answer within 20 s"))
    assert text == (
        "lb-1 does not answer within 20 s; it may still have streams: before you stop "
        "or reboot lb-1, run this again"
    )
