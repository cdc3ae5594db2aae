"""Broken links as rules for the router: pure, faults in, text out and back again.

Every rule carries its fault as a comment, so that the active faults can be read from
the kernel. A link is known by the router's device, because a host's addresses move.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lab.errors import LabError

TABLE = "faults"
"""A table of its own: the VPC's is replaced at each change of AWS's state."""

EVERYTHING = "everything"

PROTOCOLS = {"vrrp": 112}
"""What a fault can be limited to, by IP protocol."""

AMOUNTS = ("drop", "delay")
"""The kinds of faults that there is more or less of."""

LONGEST_DELAY = 60_000
"""Milliseconds. A delay's queue has its length as number: below 65,536."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link, as the router sees it; anything where a field is empty."""

    device: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class LinkFault:
    """Something that is wrong with the packets from a to b, and back if not one-way."""

    kind: str
    """``cut``, ``drop``, ``delay``, or ``silent`` for the cut of a host that is off."""
    a: str
    b: str
    amount: float = 0
    """The percentage that is dropped, or the milliseconds of delay each way."""
    one_way: bool = False
    only: str = ""
    """A key of ``PROTOCOLS``, or empty for all packets."""

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise LabError(f"{self.a} has no link to itself: name two ends")
        if self.only and self.only not in PROTOCOLS:
            raise LabError(
                f"cannot tell {self.only!r} apart: use {', '.join(PROTOCOLS)}"
            )
        if self.kind == "drop" and not 0 < self.amount <= 100:
            raise LabError(f"cannot drop {self.amount:g} %: use 0.01 to 100")
        if self.kind == "delay" and (
            not 1 <= self.amount <= LONGEST_DELAY or self.amount % 1
        ):
            raise LabError(
                f"cannot delay by {self.amount:g} ms: use 1 to {LONGEST_DELAY}, "
                "whole ones"
            )

    @property
    def words(self) -> str:
        """The fault as on the command line; ``parse`` reads it."""
        amount = [f"{self.amount:g}"] if self.kind in AMOUNTS else []
        one_way = ["--one-way"] if self.one_way else []
        only = ["--only", self.only] if self.only else []
        return " ".join([self.kind, self.a, self.b, *amount, *one_way, *only])


def parse(words: str) -> LinkFault:
    """The fault that a rule's comment describes."""
    kind, a, b, *rest = words.split()
    return LinkFault(
        kind=kind,
        a=a,
        b=b,
        amount=float(rest[0]) if kind in AMOUNTS else 0,
        one_way="--one-way" in rest,
        only=rest[-1] if "--only" in rest else "",
    )


def joined(present: Iterable[LinkFault], new: LinkFault) -> tuple[LinkFault, ...]:
    """The faults with one more, which takes the place of another amount of the same."""
    return (*(old for old in present if _place(old) != _place(new)), new)


def _place(fault: LinkFault) -> tuple[object, ...]:
    return fault.kind, fault.a, fault.b, fault.one_way, fault.only


def delays(faults: Iterable[LinkFault]) -> frozenset[int]:
    """The delays that occur, in milliseconds."""
    return frozenset(int(fault.amount) for fault in faults if fault.kind == "delay")


def render_rules(faults: Iterable[LinkFault], ends: Mapping[str, End]) -> str:
    """The table of faults for nft, which replaces the one before at once.

    Without delays it removes the table of ``render_queues`` too.
    """
    faults = tuple(faults)
    tables = [TABLE] if delays(faults) else [TABLE, "mangle"]
    lines = [f"{verb}table ip {t}" for t in tables for verb in ("", "delete ")]
    rules = [
        f'\t\t{match}{_verdict(fault)} comment "{fault.words}"'
        for fault in faults
        for match in _matches(fault, ends)
    ]
    if rules:
        lines += [
            f"table ip {TABLE} {{",
            "\tchain forward {",
            # Before the VPC's own rules, which let established connections pass.
            "\t\ttype filter hook forward priority -200; policy accept;",
            *rules,
            "\t}",
            "}",
        ]
    return "\n".join(lines) + "\n"


def _verdict(fault: LinkFault) -> str:
    if fault.kind == "drop" and fault.amount < 100:
        return f"numgen random mod 10000 < {round(fault.amount * 100)} drop"
    # Packets are delayed by a queue, see render_queues; this only remembers it.
    return "counter" if fault.kind == "delay" else "drop"


def _matches(fault: LinkFault, ends: Mapping[str, End]) -> Iterator[str]:
    protocol = f"ip protocol {PROTOCOLS[fault.only]} " if fault.only else ""
    for source, target in _directions(fault, ends):
        yield "".join(
            [
                f'iifname "{source.device}" ' if source.device else "",
                f"ip saddr {source.address} " if source.address else "",
                f'oifname "{target.device}" ' if target.device else "",
                f"ip daddr {target.address} " if target.address else "",
                protocol,
            ]
        )


def render_queues(faults: Iterable[LinkFault], ends: Mapping[str, End]) -> str:
    """The mangle table for iptables-restore: delayed packets go to a queue.

    A queue's number is its delay in milliseconds. Kernels without nft's own queue
    statement have iptables' target.
    """
    lines = ["*mangle", ":FORWARD ACCEPT [0:0]"]
    for fault in faults:
        if fault.kind != "delay":
            continue
        protocol = f" -p {PROTOCOLS[fault.only]}" if fault.only else ""
        for source, target in _directions(fault, ends):
            lines.append(
                "-A FORWARD"
                + (f" -i {source.device}" if source.device else "")
                + (f" -s {source.address}" if source.address else "")
                + (f" -o {target.device}" if target.device else "")
                + (f" -d {target.address}" if target.address else "")
                + protocol
                + f" -j NFQUEUE --queue-num {int(fault.amount)} --queue-bypass"
            )
    return "\n".join([*lines, "COMMIT"]) + "\n"


def _directions(fault: LinkFault, ends: Mapping[str, End]) -> Iterator[tuple[End, End]]:
    a, b = _end(fault.a, ends), _end(fault.b, ends)
    if a.device and a.device == b.device:
        raise LabError(f"no packet goes between {fault.a} and {fault.b}")
    yield a, b
    if not fault.one_way:
        yield b, a


def _end(name: str, ends: Mapping[str, End]) -> End:
    if name not in ends:
        raise LabError(
            f"the lab's network has no {name!r}; it has {', '.join(sorted(ends))}"
        )
    return ends[name]
