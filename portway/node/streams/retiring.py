"""Closes idle streams of older workers, one by one, so that those workers can end.

A stream may go when it has been idle for ``retire_after`` and nothing is in flight: the
last byte went to the client. One that waits for an answer stays, however long it idles.
"""

import time
from collections import deque
from collections.abc import Callable

from portway.contract.streams import StreamsConfig
from portway.node.streams.closing import Closing, connections_of, is_answered
from portway.node.streams.haproxy import Stream
from portway.node.streams.kernel import Connection
from portway.node.streams.older import Older

SHARE = 0.0025
"""The part of one processor's time that looking at streams may take."""
LOOK_EVERY = 5.0
"""Seconds between two looks; more if each takes long, less if streams retire soon."""
AT_ONCE = 4
"""Streams closed in one turn, of which there are five a second."""


class Retiring:
    """The streams of older workers that may be closed."""

    def __init__(
        self,
        config: StreamsConfig,
        older: Older,
        closing: Closing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._older = older
        self._closing = closing
        self._clock = clock
        self._due = 0.0
        self._queue: deque[tuple[Stream, Connection]] = deque()
        self._seen: dict[tuple[str, int], Connection] = {}
        """Connections by the client's end, as they were when last found answered."""

    def turn(self) -> None:
        """Close a few streams that may go; look for others when it is time."""
        if self._clock() >= self._due and not self._queue:
            self._look()
        if self._queue:
            few = [self._queue.popleft() for _ in range(min(AT_ONCE, len(self._queue)))]
            self._closing.close_answered(few, "retired", self._limit)

    def _limit(self, stream: Stream) -> float:
        return self._config.limit(stream.client) or float("inf")

    def _look(self) -> None:
        began, soon = time.process_time(), LOOK_EVERY
        if self._older.streams():
            self._older.list_again()
            streams = [stream for stream, _ in self._older.streams()]
            soon = min((self._limit(s) / 4 for s in streams), default=soon)
            soon = min(soon, LOOK_EVERY)
            self._find([s for s in streams if self._config.limit(s.client)])
        cost = (time.process_time() - began) / SHARE
        self._due = self._clock() + max(soon, cost)

    def _find(self, streams: list[Stream]) -> None:
        seen = {}
        for stream, connection in connections_of(streams):
            before = self._seen.get(stream.source, connection)
            if is_answered(connection, before):
                known = connection if connection.is_answered else before
                seen[stream.source] = known
                if connection.idle >= self._limit(stream):
                    self._queue.append((stream, known))
        self._seen = seen
