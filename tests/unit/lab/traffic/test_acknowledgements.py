"""What is made of the lines of a load: gaps, outages, messages sent again."""

import pytest

from lab.errors import LabError
from lab.traffic.acknowledgements import (
    Acknowledgement,
    ClientReport,
    Gap,
    Reader,
    Refusal,
    Report,
    as_dict,
    percentile,
    written,
)


def report(*clients: list[float], started: float = 0.0, ended: float = 10.0) -> Report:
    return Report([ClientReport(times) for times in clients], started, ended)


def test_longest_gap_is_found_with_its_start() -> None:
    (gap,) = report([1, 2, 3, 7, 8, 9]).longest_gaps()
    assert gap == Gap(3, 4)
    assert gap.end == 7


def test_client_that_is_never_served_again_has_a_gap_to_the_end() -> None:
    assert report([0.5, 1]).longest_gaps() == [Gap(1, 9)]


def test_longest_wait_after_a_moment_is_that_of_the_worst_client() -> None:
    steady = [float(n) for n in range(11)]
    late = [t for t in steady if not 7 < t < 10]
    assert report(steady, late).longest_since(5) == 2
    assert report(steady, late).longest_since(0) == 2
    assert report(steady, steady[:6]).longest_since(6) == 3


def test_client_that_was_never_served_has_one_gap() -> None:
    assert report([]).longest_gaps() == [Gap(0, 10)]


def test_acknowledgement_after_the_end_counts_no_gap() -> None:
    (gap,) = report([0, 9.9, 30]).longest_gaps()
    assert gap.end == 9.9


def test_outage_is_the_gap_beyond_the_usual_pause() -> None:
    times = [n / 10 for n in range(1, 50)] + [8 + n / 10 for n in range(20)]
    assert report(times).outages() == [pytest.approx(3.0)]


def test_all_are_served_when_the_last_client_is() -> None:
    both = report([1, 5], [1, 6])
    assert both.all_served_since(4) == 6
    assert both.all_served_since(5.5) is None
    assert report([1], []).all_served_since(0) is None


def test_id_acknowledged_twice_counts_once() -> None:
    clients = [ClientReport([1.0, 2.0], ["a", "a"]), ClientReport([1.0], ["b"])]
    assert Report(clients).acknowledged == {"a", "b"}


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 10), (0.95, 19), (1.0, 20), (0.0, 1)]
)
def test_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile(list(range(20, 0, -1)), share) == value


def test_percentile_of_nothing_is_zero() -> None:
    assert percentile([], 0.5) == 0


def test_lines_are_read_as_they_were_written() -> None:
    reader = Reader(2)
    reader.read(["started 100.0"])
    reader.read([written(Acknowledgement(1, 101.5, "a", 1))])
    reader.read([written(Refusal(1, 102, 104.5))])
    reader.read([written(Acknowledgement(1, 105, "b", 3)), "ended 106.0 0.5"])
    client = reader.report.clients[1]
    assert (client.times, client.ids) == ([101.5, 105], ["a", "b"])
    assert (client.resent, client.longest_refusal) == (1, 2.5)
    assert (reader.report.started, reader.report.ended) == (100, 106)
    assert reader.report.clients[0].ids == []


@pytest.mark.parametrize("line", ["", "seen 1", "acknowledged 9 1 a 1", "started"])
def test_line_of_another_form_is_refused(line: str) -> None:
    with pytest.raises(LabError, match="no line of a load"):
        Reader(1).read([line])


def test_programs_get_messages_only_if_they_ask() -> None:
    whole = Report([ClientReport([1.0], ["a"])], 0, 2)
    assert "ids" not in as_dict(whole)["clients"][0]
    assert as_dict(whole, with_messages=True)["clients"][0]["ids"] == ["a"]
