"""Moves of the address: how long they take, and what becomes of streams."""

import time
from collections.abc import Mapping
from typing import Any

from acceptance.account.calls import Refused
from acceptance.findings.verdict import Observer, Seen, Verdict, judged
from acceptance.parts.moves import LONGEST_MOVE
from acceptance.parts.view import View
from portway.model.stack import Node

PUBLIC_ADDRESS_SECONDS = 300
SERVED_LATER = 3
"""Seconds from when the new holder is shown until a client is served, at most."""


def _moved(view: View) -> Seen:
    moves = [m for m in view.moves if m.shown is not None]
    if not moves:
        return Verdict.UNCLEAR, "no move was seen"
    text = "; ".join(
        f"{m.what}: AWS showed the new holder after {m.shown:.1f} s, a client was "
        + ("never cut" if m.served is None else f"served after {m.served:.1f} s")
        for m in moves
    )
    late = max(max(m.shown or 0, m.served or 0) for m in moves)
    return judged(late <= LONGEST_MOVE, text)


def _holder_is_shown(view: View) -> Seen:
    moves = [m for m in view.moves if m.shown is not None and m.served is not None]
    if not moves:
        return Verdict.UNCLEAR, "no client noticed a move"
    differences = [(m.served or 0) - (m.shown or 0) for m in moves]
    text = ", ".join(f"{d:+.1f} s" for d in differences)
    return judged(
        all(-2 < d <= SERVED_LATER for d in differences),
        f"from when AWS showed the new holder to a client that is served: {text}",
    )


def _streams_are_cut(view: View) -> Seen:
    if not view.moves:
        return Verdict.UNCLEAR, "no move was seen"
    texts = [
        f"{m.what}: {', '.join(m.streams) or 'the open connection went on'}"
        for m in view.moves
    ]
    return judged(all(m.streams for m in view.moves), "; ".join(texts))


def _public_address_returns(view: View) -> Seen:
    """The standby has given the Elastic IP away some time ago."""
    holder = view.holder()
    standby = next(n for n in view.balancers() if n != holder)
    left = [m.began for m in view.moves if m.former and m.former.name == standby.name]
    began = time.monotonic()
    shown = ""
    while time.monotonic() - began < PUBLIC_ADDRESS_SECONDS:
        given = [standby.instance_id]
        answer = view.owner.call(
            "ec2", "describe_instances", standby.name, InstanceIds=given
        )
        shown = answer["Reservations"][0]["Instances"][0].get("PublicIpAddress", "")
        if shown:
            break
        time.sleep(5)
    since = f"{time.time() - left[-1]:.0f} s after the move" if left else "by now"
    text = "it has a public address" if shown else "it has no public address"
    return judged(bool(shown), f"{since} {text}")


def _foreign_address_refused(view: View) -> Seen:
    given = {
        "NetworkInterfaceId": view.balancers()[0].interface_id,
        "PrivateIpAddresses": ["192.0.2.1"],
    }
    answers = [
        c.probe("ec2", "assign_private_ip_addresses", **given)
        for c in (view.operator, view.owner)
    ]
    return _refusals(answers, may_not=0, text="without and with the right")


def _refusals(answers: list[Any], may_not: int, text: str) -> Seen:
    refused = [isinstance(a, Refused) for a in answers]
    codes = [a.code if isinstance(a, Refused) else "accepted" for a in answers]
    denied = [code == "UnauthorizedOperation" for code in codes]
    wanted = [number == may_not for number in range(len(answers))]
    return judged(all(refused) and denied == wanted, f"{text}: {', '.join(codes)}")


def _dry_run(view: View) -> Seen:
    node = view.balancers()[0]
    tag = {"Key": "portway:acceptance-probe", "Value": "never made"}
    given = {"Resources": [node.instance_id], "Tags": [tag], "DryRun": True}
    answers = [
        c.probe("ec2", "create_tags", **given) for c in (view.owner, view.operator)
    ]
    codes = [a.code if isinstance(a, Refused) else "accepted" for a in answers]
    text = f"CreateTags with and without the right: {', '.join(codes)}"
    is_so = codes == ["DryRunOperation", "UnauthorizedOperation"]
    return judged(is_so and not _has_tag(view, node, tag["Key"]), text)


def _has_tag(view: View, node: Node, key: str) -> bool:
    filters = [{"Name": "resource-id", "Values": [node.instance_id]}]
    tags = view.owner.read("ec2", "describe_tags", "Tags", node.name, Filters=filters)
    return key in [tag["Key"] for tag in tags]


OBSERVERS: Mapping[str, Observer] = {
    "elastic-ip-moves": _moved,
    "private-address-moves": _moved,
    "route-moves": _moved,
    "holder-is-shown": _holder_is_shown,
    "streams-are-cut": _streams_are_cut,
    "public-address-returns": _public_address_returns,
    "foreign-address-refused": _foreign_address_refused,
    "dry-run": _dry_run,
}
