"""Who is connected is read from every HAProxy process, and told apart by it."""

from portway.load_balancers.client_streams import ClientStreamsFacts, OpenStream
from portway.load_balancers.traffic import (
    ClientTraffic,
    OldWorker,
    Traffic,
    TrafficFacts,
)


def test_connections_are_told_by_client_and_process() -> None:
    found = TrafficFacts().process(
        [
            "runs",
            "client,one,2,9,1,OPEN",
            "client,two,0,0,0,FULL",
            "worker 77 0d00h01m00s",
            "client,one,3,8,0,STOP",
            "worker 66 0d01h00m00s",
            "silent",
        ]
    )
    assert found.runs
    assert found.answers
    assert found.of("one") == (
        ClientTraffic("one", 0, 2, 9, 1, "OPEN"),
        ClientTraffic("one", 77, 3, 8, 0, "STOP"),
    )
    assert found.older == (
        OldWorker(77, "0d00h01m00s", 3),
        OldWorker(66, "0d01h00m00s", 0, answers=False),
    )


def test_haproxy_that_runs_and_does_not_answer_is_told_from_one_that_does() -> None:
    assert TrafficFacts().process(["runs"]) == Traffic(runs=True)
    assert TrafficFacts().process([]) == Traffic()


def test_streams_and_log_lines_of_a_client_are_read() -> None:
    found = ClientStreamsFacts().process(
        [
            "stream 198.51.100.7:1 app-1 4s",
            "worker 77",
            "stream 198.51.100.7:2 app-2 1h02m",
            "log 2026-11-27T12:00:02 lb-1 haproxy[1]: client=one source=b",
            "log 2026-11-27T12:00:01 lb-1 haproxy[1]: client=one source=a",
        ]
    )
    assert found.streams == (
        OpenStream("198.51.100.7:1", "app-1", "4s", 0),
        OpenStream("198.51.100.7:2", "app-2", "1h02m", 77),
    )
    assert [line[-8:] for line in found.log] == ["source=a", "source=b"]
