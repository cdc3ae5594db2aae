"""Verdicts: what differs is not called unclear, and the other way round."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from acceptance.account.journal import Journal, Kind, State
from acceptance.findings.observing import OBSERVERS, observe_line
from acceptance.findings.verdict import Verdict
from acceptance.parts.moves import LONGEST_MOVE, remember
from acceptance.parts.view import Move, View
from acceptance.programs.sender import Traffic
from acceptance.run import whole
from portway.contract.address import AddressKind
from portway.errors import PortwayError
from tests.unit.samples import stack

NODES = stack().nodes


class Heard:
    def heard(self) -> Any:
        return self

    def __enter__(self) -> list[Any]:
        return []

    def __exit__(self, *_: object) -> None:
        pass


def view(**more: Any) -> View:
    def on_node(*_: str) -> Any:
        raise PortwayError("a command on lb-1 ended with status 1")

    found = SimpleNamespace(
        owner=Heard(),
        operator=Heard(),
        deploys=SimpleNamespace(on_node=on_node),
        balancers=lambda: NODES[:2],
        holder=lambda: NODES[0],
        launched={},
        notes={},
        moves=[],
    )
    for name, value in more.items():
        setattr(found, name, value)
    return cast(View, found)


def verdict(item: str, **more: Any) -> Verdict:
    return observe_line(view(**more), item).verdict


@pytest.mark.parametrize(
    "item",
    ["associate-address-judged", "route-table-key", "endpoint-name", "image-login"],
)
def test_what_a_node_cannot_do_differs(item: str) -> None:
    assert verdict(item) is Verdict.DIFFERS


def test_error_of_a_probe_is_unclear(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: View) -> Any:
        raise PortwayError("AWS did not answer")

    monkeypatch.setitem(OBSERVERS, "dry-run", fail)
    assert verdict("dry-run") is Verdict.UNCLEAR


@pytest.mark.parametrize(
    ("shown", "served", "wanted"),
    [
        (2.0, 2.5, Verdict.SEEN),
        (2.0, 5.1, Verdict.DIFFERS),
        (5.0, 2.0, Verdict.DIFFERS),
        (2.0, None, Verdict.UNCLEAR),
    ],
)
def test_holder_is_shown_when_clients_are_served(
    shown: float, served: float | None, wanted: Verdict
) -> None:
    move = Move("to lb-2", 0.0, None, None, shown, (), served)
    assert verdict("holder-is-shown", moves=[move]) is wanted


@pytest.mark.parametrize(
    ("keys", "login", "wanted"),
    [
        (40, 60, Verdict.SEEN),
        (40, 301, Verdict.DIFFERS),
        (310, 320, Verdict.UNCLEAR),
    ],
)
def test_late_host_keys_say_nothing_of_ssh(
    keys: float, login: float, wanted: Verdict
) -> None:
    launched = {"ssh host keys": keys, "ssh": login}
    assert verdict("ssh-in-time", launched=launched) is wanted


def test_one_application_node_shows_not_which_one_goes() -> None:
    assert verdict("newest-goes", notes={"shrink text": "one"}) is Verdict.UNCLEAR
    assert verdict("newest-goes", notes={"shrink": "newest"}) is Verdict.SEEN
    assert verdict("newest-goes", notes={"shrink": "another"}) is Verdict.DIFFERS


@pytest.mark.parametrize("shown", [2.0, LONGEST_MOVE + 1.0])
def test_move_that_takes_too_long_is_an_error(shown: float) -> None:
    traffic = Traffic(50, 2, 3.0, 3.0)
    client = SimpleNamespace(
        measured=lambda _: traffic, streams_ended=lambda _: ["reset"]
    )
    seen = view(client=lambda: client)
    given = (seen, "to lb-2", 100.0, NODES[0], NODES[1], 100.0 + shown)
    if shown < LONGEST_MOVE:
        assert "to lb-2: 50 acknowledged" in remember(*given)
    else:
        with pytest.raises(PortwayError, match="took 31 s to move"):
            remember(*given)
    assert len(seen.moves) == 1


@pytest.mark.parametrize("is_deleted", [True, False])
def test_elastic_ip_is_judged_only_when_its_stack_is_gone(
    tmp_path: Path, is_deleted: bool
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(Kind.ADDRESS, "203.0.113.9", State.MADE, "eipalloc-1")
    state = State.GONE if is_deleted else State.MADE
    journal.write(Kind.STACK, "trial", state)
    seen = view(
        options=SimpleNamespace(kind=AddressKind.ELASTIC_IP),
        journal=journal,
        owner=SimpleNamespace(probe=lambda *_, **__: {"Addresses": [{}]}),
    )
    whole._look_at_address(seen)
    assert seen.notes == ({"elastic ip": "kept"} if is_deleted else {})
