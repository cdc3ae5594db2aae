"""A saved Stack is read as it was, or refused with the reason."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from portway.contract.address import AddressKind, AddressObject
from portway.errors import PortwayError
from portway.model.saved import FORMAT, from_json, to_json
from portway.model.stack import Database, Node, Ports, Role, Stack, VirtualAddress
from tests.unit import samples

FIELDS = "386b"
"""Beginning of the hash of the fields that FORMAT has."""

TEXT = st.text(max_size=8)
TIMES = st.datetimes(timezones=st.just(UTC))
NODES = st.builds(
    Node,
    instance_id=TEXT,
    name=st.from_regex(r"[A-Za-z0-9]{1,8}(-[0-9])?", fullmatch=True),
    role=st.sampled_from(Role),
    address=st.ip_addresses(v=4).map(str),
    launched_at=TIMES,
    started_at=st.none() | TIMES,
)
STACKS = st.builds(
    Stack,
    nodes=st.lists(NODES, max_size=4, unique_by=lambda node: node.name).map(tuple),
    virtual_address=st.builds(
        VirtualAddress,
        kind=st.sampled_from(AddressKind),
        objects=st.lists(st.builds(AddressObject), max_size=3).map(tuple),
    ),
    ports=st.builds(Ports),
    database=st.none() | st.builds(Database),
    operator_networks=st.lists(TEXT, max_size=3).map(tuple),
    names=st.lists(TEXT, max_size=3).map(tuple),
    changed_at=st.none() | TIMES,
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(STACKS)
def test_what_is_saved_is_read_again(stack: Stack) -> None:
    saved = samples.saved(stack)
    assert from_json(to_json(saved), "saved.json") == saved


def test_another_format_comes_with_other_fields() -> None:
    schema = json.dumps(TypeAdapter(Stack).json_schema(), sort_keys=True)
    found = hashlib.sha256(schema.encode()).hexdigest()
    assert (FORMAT, found[:4]) == ("portway stack 2", FIELDS), (
        "the Stack has other fields: count FORMAT up, and put the hash here"
    )


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    document = json.loads(to_json(samples.saved(samples.stack())))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "it is not what portway save writes"),
        ("[]", "it is not what portway save writes"),
        ('{"clients": []}', "it is not what portway save writes"),
        (
            edited(lambda d: d.update(format="portway stack 9")),
            'another version, "portway stack 9"; this one has "portway stack 2"',
        ),
        (
            edited(lambda d: d["stack"]["ports"].update(health="none")),
            "stack.ports.health: ",
        ),
        (
            edited(lambda d: d["stack"]["nodes"][1].pop("zone")),
            '"stack.nodes.1.zone" is missing',
        ),
        (edited(lambda d: d["stack"].update(nmes=[])), "stack.nmes: "),
        (edited(lambda d: d.update(extra=1)), 'unknown key "extra"'),
        (
            edited(lambda d: d["stack"]["nodes"][2].update(address="10.60.0")),
            "stack.nodes.2.address: Expected 4 octets",
        ),
        (
            edited(lambda d: d["stack"]["nodes"][3].update(name="app-1")),
            "stack.nodes.3.name: app-1 is there twice",
        ),
        (edited(lambda d: d["groups"].pop("lb-2")), "groups: lb-2 is missing"),
        *(
            (
                edited(lambda d, n=name: d["stack"]["nodes"][1].update(name=n)),  # type: ignore[misc]
                "stack.nodes.1.name: no node can be called that",
            )
            for name in ("../../evil", "/etc", "..", "", "a b")
        ),
    ],
)
def test_file_that_is_none_is_refused_with_the_reason(text: str, expected: str) -> None:
    with pytest.raises(PortwayError) as refused:
        from_json(text, "saved.json")
    what, why, do = refused.value.message.splitlines()
    assert what == "saved.json: is no saved stack that can be read"
    assert expected in why
    assert do == "  save it again: portway save INVENTORY saved.json"
