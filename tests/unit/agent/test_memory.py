"""What an agent remembers: when a run is due, what is refused, and damaged files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.agent.memory import MOST_SECONDS, Files, Memory, Refusal
from portway.model.published import Published
from portway.model.suspension import Suspension, moment

NOW = 1_800_000_000.0
PUBLISHED = Published("bucket", "portway-2-abc.tar", "0" * 64)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "agent")


@pytest.mark.parametrize(
    ("failures", "ago", "due"),
    [
        (0, 200, False),
        (0, 290, True),  # the timer comes every minute
        (1, 40, False),
        (1, 60, True),
        (2, 60, False),
        (2, 120, True),
        (9, 290, True),  # never less often than that
        (0, -10, True),  # the clock was set back
    ],
)
def test_run_is_due(failures: int, ago: float, due: bool) -> None:
    memory = Memory(ran=NOW - ago, failures=failures)
    assert memory.is_due(NOW, 300) is due


def test_runs_of_machines_that_were_deployed_at_once_come_apart() -> None:
    def due(fraction: float, ago: float) -> bool:
        ran = NOW + fraction
        return Memory(ran=ran).is_due(ran + ago, 1800)

    assert not due(0.0, 1780)
    assert due(0.0, 1790)
    assert due(0.5, 1700)
    assert due(0.99, 1610)
    assert not due(0.99, 1600)


@pytest.mark.parametrize(
    ("until", "due"),
    [(NOW - 1, True), (NOW + 60, False), (NOW + MOST_SECONDS + 1, True), (None, False)],
)
def test_release_is_tried_again_before_the_next_run(
    until: float | None, due: bool
) -> None:
    refusal = Refusal("portway-2-abc", "why", until)
    assert Memory(ran=NOW - 50, refusal=refusal).is_due(NOW, 1800) is due


def test_failed_run_is_tried_again_within_five_minutes() -> None:
    assert Memory(ran=NOW - 290, failures=9).is_due(NOW, 1800)
    assert not Memory(ran=NOW - 280, failures=9).is_due(NOW, 1800)


def test_first_run_is_due() -> None:
    assert Memory().is_due(NOW, 86_400)


@pytest.mark.parametrize(
    ("release", "until", "refused"),
    [
        ("portway-2-abc", None, True),
        ("portway-2-abc", NOW + 60, True),
        ("portway-2-abc", NOW - 1, False),
        ("portway-2-abc", NOW + MOST_SECONDS + 1, False),  # of another clock
        ("portway-1-abc", None, False),
    ],
)
def test_published_release_is_refused(
    release: str, until: float | None, refused: bool
) -> None:
    memory = Memory(refusal=Refusal(release, "why", until))
    assert memory.refuses(PUBLISHED, NOW) is refused
    assert not Memory().refuses(PUBLISHED, NOW)


times = st.floats(0, 4e9, allow_nan=False)
refusals = st.builds(
    Refusal, st.text(), st.text(), st.none() | times, st.integers(1, 99)
)


@given(
    st.builds(
        Memory,
        served=st.text(),
        goes_back=st.booleans(),
        failures=st.integers(0, 99),
        ran=times,
        succeeded=times,
        refusal=st.none() | refusals,
        seen=st.text(),
        places=st.dictionaries(st.text(), st.text()),
        was_early=st.booleans(),
    )
)
def test_what_was_kept_is_remembered(memory: Memory) -> None:
    assert Memory.from_json(memory.to_json()) == memory


def test_memory_of_another_version_is_taken_as_far_as_it_goes() -> None:
    text = '{"served": "a", "new": 1, "refusal": {"release": "b", "why": "c", "x": 1}}'
    assert Memory.from_json(text) == Memory("a", refusal=Refusal("b", "c"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", "1"),
        *('{"ran": "now"}', '{"places": "none"}', '{"failures": [1]}'),
        *('{"refusal": 1}', '{"refusal": {}}', '{"refusal": "release"}'),
        '{"refusal": {"release": "a", "why": "b", "until": "tomorrow"}}',
    ],
)
def test_damaged_memory_is_told_and_none(files: Files, text: str) -> None:
    files.keep(Memory(served="a"))
    (files.folder / "memory.json").write_text(text or " ")
    assert files.memory() == Memory()
    assert len(files.told) == 1
    assert "memory.json is damaged" in files.told[0]


def test_suspension_is_kept_until_somebody_resumes(files: Files) -> None:
    assert files.suspension() is None
    files.suspend(Suspension("kernel tests", "anna", NOW))
    assert str(files.suspension()) == (
        f"suspended by anna since {moment(NOW)}: kernel tests"
    )
    files.resume()
    assert files.suspension() is None
    files.resume()


def test_why_there_is_no_run(files: Files) -> None:
    assert files.why_idle(NOW, 300) is None, "the first one"
    files.keep(Memory(ran=NOW))
    assert files.why_idle(NOW, 300) == ""
    files.resume()
    assert files.why_idle(NOW, 300) is None
    files.suspend(Suspension("kernel tests", "anna", NOW))
    assert "kernel tests" in str(files.why_idle(NOW + 900, 300))


def test_damaged_suspension_still_suspends(files: Files) -> None:
    files.suspend(Suspension("why", "anna", NOW))
    (files.folder / "suspended.json").write_text("{")
    assert "its file is damaged" in str(files.suspension())


def test_resuming_has_the_next_run_try_again_once(files: Files) -> None:
    failed = Memory("a", failures=3, ran=NOW, refusal=Refusal("b", "why"))
    files.keep(failed)
    files.resume()
    assert files.begin() == Memory("a")
    files.keep(failed)
    assert files.begin() == failed


def test_only_one_is_in_there(files: Files) -> None:
    with files.alone() as first, files.alone() as second:
        assert (first, second) == (True, False)
    with files.alone() as again:
        assert again
