"""Whether a long run was as promised: a sentence for all that was not. Pure.

The promises are those of ``docs/guarantees.md``, but for ``SERVED_WITHIN``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.endurance.records import CLIENTS, NODES, Change, Endurance, Look
from lab.traffic.streams import Stream

SERVED_WITHIN = 2.0
"""Seconds from AWS's answer to the first message that a new node acknowledges: the aim,
on a machine that does nothing else."""
SEEN_LATE = 0.7
"""Seconds that a drain may have lasted before it was seen."""
RELOAD_SEEN_LATE = 2.0
"""Seconds after a reload until it is seen, while a busy machine looks once a second."""
RETIRED_WITHIN = 6.0
"""Seconds beyond ``retire_after`` within which an idle stream is closed."""
GONE_WITHIN = 6.0
"""Seconds in which a worker without streams ends."""
AROUND = 2.0
"""Seconds before and after a run in which its streams may be seen to end."""
GROWTH = 1.5
"""How much larger than at the beginning one worker may become."""
SHOWN = 5
"""How many of a kind are told before they are only counted."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A stream that its client did not end, and what for."""

    stream: Stream
    change: Change | None
    """The change during which its node went; None if there is none."""
    is_retired: bool


def problems(run: Endurance) -> list[str]:
    """What was not as promised; nothing if all was."""
    found: list[str] = []
    for sentences in (
        _too_few(run),
        _failed(run),
        _reloads(run),
        _workers_of_nodes(run),
        _workers_of_clients(run),
        _memory(run),
        _cuts(run),
        _not_retired(run),
        _late(run),
        _lost(run),
    ):
        told = list(sentences)
        found += told[:SHOWN]
        if len(told) > SHOWN:
            found.append(f"… and {len(told) - SHOWN} more of this kind")
    return found


def cuts(run: Endurance) -> list[Cut]:
    """The streams that were cut, each with what explains it."""
    return [
        Cut(s, _change_of(run, s), _is_retired(run, s))
        for s in run.streams
        if s.was_cut
    ]


def looks(run: Endurance, part: str, node: str) -> list[Look]:
    """What was seen of a load balancer during a part."""
    changes = run.of(part)
    if not changes:
        return []
    began, ended = changes[0].began, changes[-1].ended
    return [
        look for look in run.looks if look.node == node and began <= look.at <= ended
    ]


def nodes(run: Endurance) -> list[str]:
    """The load balancers."""
    return sorted({look.node for look in run.looks})


def reloads(run: Endurance, part: str, node: str) -> int:
    """How often HAProxy was reloaded on a load balancer during a part."""
    found = looks(run, part, node)
    return found[-1].reloads - found[0].reloads if found else 0


def _too_few(run: Endurance) -> Iterator[str]:
    for part, asked in run.settings.asked.items():
        if (made := len(run.of(part))) < asked:
            yield (
                f"{made} of {asked} changes of {part} were made, because "
                f"{run.settings.minutes:g} minutes were over"
            )


def _failed(run: Endurance) -> Iterator[str]:
    for number, change in enumerate(run.changes, start=1):
        if change.problem:
            yield f"change {number} ({change.what}): {change.problem}"
        elif not change.answered:
            yield f"change {number} ({change.what}): the run did not ask AWS"


def _reloads(run: Endurance) -> Iterator[str]:
    for node in nodes(run):
        if count := reloads(run, NODES, node):
            yield f"{node}: changes of nodes reloaded HAProxy {count} times"
        made = len(run.of(CLIENTS))
        if (count := reloads(run, CLIENTS, node)) > made:
            yield f"{node}: {made} changes of clients reloaded HAProxy {count} times"


def _workers_of_nodes(run: Endurance) -> Iterator[str]:
    for node in nodes(run):
        most = max((look.workers for look in looks(run, NODES, node)), default=1)
        if most > 1:
            yield f"{node}: changes of nodes left {most} HAProxy processes"


def _workers_of_clients(run: Endurance) -> Iterator[str]:
    """No older process may outlive the streams that it was left for."""
    for node in nodes(run):
        seen = looks(run, CLIENTS, node)
        for look in seen:
            allowed = 1 + _generations_in_use(run, seen, look)
            if look.workers > allowed:
                yield (
                    f"{node}: {look.workers} HAProxy processes "
                    f"{_after(run, look.at)}, though streams were left in "
                    f"{allowed - 1} older ones only"
                )


def _generations_in_use(run: Endurance, seen: list[Look], look: Look) -> int:
    """In how many older processes of a load balancer there was a stream lately.

    A reload that is going on adds one. Only the holder of the address has streams.
    """
    recent = [s for s in seen if look.at - GONE_WITHIN <= s.at <= look.at]
    starting = len({s.reloads for s in recent}) - 1
    if look.node != run.settings.holder:
        return starting
    used = {
        _generation(seen, stream)
        for stream in run.streams
        if stream.opened <= look.at
        and (not stream.ended or stream.ended >= look.at - GONE_WITHIN)
    }
    return len(used - {look.reloads}) + starting


def _generation(seen: list[Look], stream: Stream) -> int:
    """How often HAProxy had been reloaded when a stream began."""
    before = [look.reloads for look in seen if look.at <= stream.opened]
    return before[-1] if before else seen[0].reloads


def _memory(run: Endurance) -> Iterator[str]:
    for node in nodes(run):
        seen = [look for look in run.looks if look.node == node and look.largest]
        if not seen:
            yield f"{node}: nobody could see what HAProxy's processes take"
            continue
        first, most = seen[0].largest, max(look.largest for look in seen)
        if most > GROWTH * first:
            yield (
                f"{node}: a HAProxy process came to take {most / 1024:.1f} MiB, "
                f"from {first / 1024:.1f} MiB at the beginning"
            )


def _cuts(run: Endurance) -> Iterator[str]:
    for cut in cuts(run):
        stream, settings = cut.stream, run.settings
        what = (
            f"{stream.client}'s stream to {stream.node or 'nobody'} was {stream.how} "
            f"{_after(run, stream.ended)}"
        )
        if cut.change is not None and cut.change.dies:
            continue
        if cut.change is not None:
            lasted = _drained_for(run, cut)
            if lasted is None:
                yield f"{what}, and nobody saw {stream.node} being drained"
            elif lasted + SEEN_LATE < settings.drain_timeout:
                yield (
                    f"{what}, {lasted:.1f} s after its drain began; drain_timeout is "
                    f"{settings.drain_timeout:g} s"
                )
        elif cut.is_retired and stream.in_flight:
            yield f"{what} with a message in flight; {stream.reason}"
        elif not cut.is_retired:
            flying = " with a message in flight" if stream.in_flight else ""
            yield f"{what}{flying}, though its node stayed; {stream.reason}"


def _change_of(run: Endurance, stream: Stream) -> Change | None:
    """The change that took a stream's node away when the stream ended."""
    for change in run.of(NODES):
        during = change.began - AROUND <= stream.ended <= change.ended + AROUND
        if during and stream.node in change.goes:
            return change
    return None


def _drained_for(run: Endurance, cut: Cut) -> float | None:
    """Seconds that a stream had from when its node was seen to be drained."""
    assert cut.change is not None  # noqa: S101 - for the types
    address = run.addresses.get(cut.stream.node)
    seen = [
        drain.at
        for drain in run.drains
        if drain.node == run.settings.holder
        and drain.address == address
        and cut.change.began <= drain.at <= cut.stream.ended
    ]
    return cut.stream.ended - seen[0] if seen else None


def _is_retired(run: Endurance, stream: Stream) -> bool:
    """Whether a stream was in an older process and had idled for ``retire_after``."""
    idled = stream.ended - max(stream.last_answer, stream.opened)
    return (
        _became_older(run, stream) is not None
        and stream.how == "closed"
        and idled >= run.settings.retire_after
    )


def _became_older(run: Endurance, stream: Stream) -> float | None:
    """When the process that has a stream became an older one; None if it never did."""
    seen = [look for look in run.looks if look.node == run.settings.holder]
    if not seen:
        return None
    own = _generation(seen, stream)
    later = (look.at for look in seen if look.reloads > own)
    seen_by = stream.ended + RELOAD_SEEN_LATE if stream.ended else run.ended
    return next((at for at in later if at <= seen_by), None)


def _not_retired(run: Endurance) -> Iterator[str]:
    for stream in run.streams:
        older = _became_older(run, stream)
        if not stream.client.startswith("idle-") or older is None:
            continue
        due = max(older, stream.last_answer + run.settings.retire_after)
        lasted = (stream.ended or run.ended) - due
        if lasted > RETIRED_WITHIN:
            yield (
                f"{stream.client}'s stream idled in an older HAProxy process for "
                f"{lasted:.0f} s longer than retire_after"
            )


def _late(run: Endurance) -> Iterator[str]:
    for number, change in enumerate(run.of(NODES), start=1):
        if not change.comes or change.problem:
            continue
        if change.seconds is None:
            yield f"change {number} ({change.what}): nobody was served by it"
        elif change.seconds > SERVED_WITHIN:
            yield (
                f"change {number} ({change.what}): its first message was served "
                f"{change.seconds:.1f} s after AWS's answer, not within "
                f"{SERVED_WITHIN:g} s"
            )


def _lost(run: Endurance) -> Iterator[str]:
    if run.lost:
        yield (
            f"{len(run.lost)} acknowledged messages are not in the database: "
            f"{', '.join(run.lost[:SHOWN])}"
        )
    if not run.acknowledged:
        yield "no message was acknowledged at all"


def _after(run: Endurance, at: float) -> str:
    """A moment, for people, by the change that was going on or was the last."""
    for number, change in reversed(list(enumerate(run.changes, start=1))):
        if change.began <= at:
            return f"{at - change.began:.1f} s into change {number} ({change.what})"
    return "at the beginning"
