"""Closes streams, counts them, and tells which ones wait for no answer."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from portway.node.streams import kernel
from portway.node.streams.haproxy import NEWEST, Haproxy, Stream
from portway.node.streams.kernel import Connection
from portway.node.streams.older import Older


class Closing:
    """What closes streams, and what it has closed."""

    def __init__(self, haproxy: Haproxy, older: Older) -> None:
        self._haproxy = haproxy
        self._older = older
        self.closed: Counter[str] = Counter()
        """Streams that were closed, by reason."""

    def close(self, streams: Sequence[Stream], reason: str) -> int:
        """Close streams whatever they are doing, but for those still connecting.

        Returns how many were closed.
        """
        silent, by_worker = self._older.silent(), dict[int, list[Stream]]()
        for stream in streams:
            if stream.is_established and stream.worker not in silent:
                by_worker.setdefault(stream.worker, []).append(stream)
        closed = 0
        for worker, found in by_worker.items():
            try:
                self._haproxy.close(found)
            except TimeoutError:
                if worker == NEWEST:
                    raise
                self._older.is_silent(worker)
                continue
            self._older.forget(found)
            self.closed[reason] += len(found)
            closed += len(found)
        return closed

    def close_answered(
        self,
        found: Sequence[tuple[Stream, Connection]],
        reason: str,
        idle: Callable[[Stream], float] = lambda _: 0,
    ) -> int:
        """Close those of a few streams that are still idle and wait for no answer.

        The kernel is asked right before: HAProxy may have ended one meanwhile, and
        given its id to another stream.
        """
        ready = [
            stream
            for stream, seen in found
            if (now := kernel.again(seen))
            and now.idle >= idle(stream)
            and is_answered(now, seen)
        ]
        return self.close(ready, reason)


def is_answered(now: Connection, seen: Connection) -> bool:
    """Whether a connection waits for no answer, as it is now or as it was seen before.

    What was seen counts only if no byte came since. That matters after a while, when
    keepalive probes have hidden the acknowledgement.
    """
    same = now.received == seen.received and not now.waiting
    return now.is_answered or (same and seen.is_answered)


def connections_of(streams: Iterable[Stream]) -> list[tuple[Stream, Connection]]:
    """The streams that the kernel knows, each with its connection to the client.

    A client that uses one port of its own for two of ours cannot be told apart and is
    left out.
    """
    streams = tuple(streams)
    ports = {stream.source[1] for stream in streams}
    by_remote: dict[tuple[str, int], list[Connection]] = {}
    for connection in kernel.established(ports):
        by_remote.setdefault(connection.remote, []).append(connection)
    found = ((stream, by_remote.get(stream.source, [])) for stream in streams)
    return [(stream, same[0]) for stream, same in found if len(same) == 1]
