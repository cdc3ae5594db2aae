"""What is known of older workers when one of them does not answer."""

from dataclasses import dataclass, field, replace

from portway.node.streams.closing import Closing
from portway.node.streams.haproxy import NEWEST, Process, Stream
from portway.node.streams.older import SILENT, Older


@dataclass
class Haproxy:
    """Two older workers, each with a stream; some of them hang."""

    hung: set[int] = field(default_factory=set)
    asked: list[int] = field(default_factory=list)

    def workers(self) -> tuple[int, tuple[Process, ...]]:
        return 9, (Process(8, "1h"), Process(7, "2h"))

    def streams(self, worker: int) -> list[Stream]:
        self.asked.append(worker)
        if worker in self.hung:
            raise TimeoutError("timed out")
        source = ("192.0.2.1", worker)
        return [Stream(worker, "0x1", source, "one", "tcp", "app-1", True)]

    def close(self, streams: list[Stream]) -> None:
        (worker,) = {stream.worker for stream in streams}
        self.asked.append(worker)
        if worker in self.hung:
            raise TimeoutError("timed out")

    def addresses(self, worker: int) -> dict[tuple[str, str], str]:
        return {("tcp", "app-1"): "10.60.0.6"}


def test_worker_that_hangs_keeps_nobody_from_knowing_the_others() -> None:
    haproxy, now = Haproxy(hung={8}), [100.0]
    older = Older(haproxy, clock=lambda: now[0])  # type: ignore[arg-type]
    assert older.look()
    assert {stream.worker for stream, _ in older.streams()} == {7}
    assert older.silent() == [8]
    older.list_again()
    now[0] += SILENT - 1
    older.list_again()
    assert haproxy.asked.count(8) == 1, "each question would take seconds"
    haproxy.hung.clear()
    now[0] += 2
    older.list_again()
    assert older.silent() == []
    assert {stream.worker for stream, _ in older.streams()} == {7, 8}


def test_worker_that_hangs_keeps_no_other_s_streams_from_being_closed() -> None:
    haproxy, now = Haproxy(), [100.0]
    older = Older(haproxy, clock=lambda: now[0])  # type: ignore[arg-type]
    older.look()
    haproxy.hung, haproxy.asked = {8}, []
    closing = Closing(haproxy, older)  # type: ignore[arg-type]
    source = ("192.0.2.1", 4000)
    streams = [
        *(stream for stream, _ in older.streams()),
        Stream(NEWEST, "0x2", source, "one", "tcp", "app-1", True),
    ]
    for _ in range(2):
        assert closing.close(streams, "failed") == 2
    assert haproxy.asked == [8, 7, NEWEST, 7, NEWEST]
    assert older.silent() == [8]


def test_worker_with_a_stream_that_is_being_connected_is_listed_again() -> None:
    haproxy, now = Haproxy(), [100.0]
    older = Older(haproxy, clock=lambda: now[0])  # type: ignore[arg-type]
    older.look()
    now[0] += 10
    older.look()
    asked = len(haproxy.asked)
    older.look()
    assert len(haproxy.asked) == asked, "all are streams"
    listed = haproxy.streams
    haproxy.streams = lambda worker: [  # type: ignore[method-assign]
        replace(stream, is_established=False) for stream in listed(worker)
    ]
    older.list_again()
    now[0] += 1.1
    older.look()
    assert len(haproxy.asked) == asked + 4
