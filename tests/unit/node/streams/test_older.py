"""What is known of older workers when one of them does not answer."""

from dataclasses import dataclass, field

from portway.node.streams.haproxy import Process, Stream
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
