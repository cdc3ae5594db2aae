"""The journal knows what may be left, whatever ended the run."""

import os
from pathlib import Path

import pytest

from acceptance.account.journal import Journal, Kind, State
from portway.errors import PortwayError


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def test_what_was_planned_is_left_until_it_is_gone(journal: Journal) -> None:
    journal.write(Kind.KEY_PAIR, "mine", State.PLANNED)
    (left,) = journal.left()
    assert (left.kind, left.name, left.state) == (Kind.KEY_PAIR, "mine", State.PLANNED)
    journal.write(Kind.KEY_PAIR, "mine", State.GONE)
    assert journal.left() == []


def test_id_that_was_known_stays_known(journal: Journal) -> None:
    journal.write(Kind.ROUTE, "rtb-1", State.MADE, "rtb-1", destination="10.0.0.1/32")
    journal.write(Kind.ROUTE, "rtb-1", State.PLANNED)
    (left,) = journal.left(Kind.ROUTE)
    assert (left.id, left.more) == ("rtb-1", {"destination": "10.0.0.1/32"})


def test_line_that_was_cut_off_does_not_count(journal: Journal) -> None:
    journal.write(Kind.ROLE, "one", State.PLANNED)
    journal.write(Kind.STACK, "two", State.PLANNED)
    text = journal.path.read_text()
    journal.path.write_text(text[:-9])
    assert [entry.name for entry in journal.left()] == ["one"]


def test_line_after_one_that_was_cut_off_counts(journal: Journal) -> None:
    journal.write(Kind.ROLE, "one", State.PLANNED)
    journal.write(Kind.STACK, "two", State.PLANNED)
    text = journal.path.read_text()
    journal.path.write_text(text[:-9])
    journal.write(Kind.STACK, "three", State.PLANNED)
    assert [entry.name for entry in journal.left()] == ["one", "three"]


def test_line_that_is_not_written_whole_is_an_error(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:5]))
    with pytest.raises(PortwayError, match="could not be written"):
        journal.write(Kind.ROLE, "one", State.PLANNED)


def test_other_users_cannot_read_it(journal: Journal) -> None:
    journal.write(Kind.RUN, "id", State.MADE)
    assert journal.path.stat().st_mode & 0o777 == 0o600


def test_run_that_was_cleaned_up_is_none(journal: Journal) -> None:
    assert journal.run() is None
    journal.write(Kind.RUN, "id", State.MADE, "stack", region="r", account="a")
    run = journal.run()
    assert run is not None
    assert run.more == {"region": "r", "account": "a"}
    journal.write(Kind.RUN, "id", State.GONE)
    assert journal.run() is None


def test_two_processes_do_not_share_it(journal: Journal) -> None:
    with (
        journal.alone(),
        pytest.raises(PortwayError, match="another process"),
        Journal(journal.path).alone(),
    ):
        pass
    with journal.alone():
        pass
