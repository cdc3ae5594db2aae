"""What a node lacks of a release, and which releases it keeps."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.contract.release_requests import (
    Fetch,
    Remove,
    Request,
    Switch,
    from_json,
    to_json,
)
from portway.model.releases import (
    FoundReleases,
    Release,
    is_current,
    is_fetched,
    prunable,
)

RELEASE = Release("2.0.0", "https://artifacts.test/a", "b" * 64)
FOUND = FoundReleases(
    sums={"1.0.0": "a" * 64, "2.0.0": "b" * 64}, current="2.0.0", previous="1.0.0"
)


def test_release_of_the_right_archive_is_fetched_and_current() -> None:
    assert is_fetched(RELEASE, FOUND)
    assert is_current(RELEASE, FOUND)


def test_release_of_another_archive_is_neither() -> None:
    other = replace(RELEASE, sha256="c" * 64)
    assert not is_fetched(other, FOUND)
    assert not is_current(other, FOUND)


def test_release_that_only_lies_there_is_not_current() -> None:
    assert not is_current(replace(RELEASE, version="1.0.0", sha256="a" * 64), FOUND)


def test_link_to_a_release_that_is_gone_is_not_current() -> None:
    assert not is_current(RELEASE, FoundReleases(current="2.0.0"))


@pytest.mark.parametrize(
    ("keep", "removed"),
    [(2, ("1", "2", "3")), (3, ("1", "2")), (4, ("1",)), (5, ()), (9, ())],
)
def test_oldest_releases_beyond_the_number_go(
    keep: int, removed: tuple[str, ...]
) -> None:
    sums = dict.fromkeys("12345", "a" * 64)
    found = FoundReleases(sums=sums, current="4", previous="3")
    assert prunable(replace(RELEASE, version="5"), found, keep) == removed


@given(
    versions=st.lists(st.sampled_from("123456"), unique=True),
    current=st.sampled_from(["1", "2", "3", None]),
    previous=st.sampled_from(["1", "4", None]),
    wanted=st.sampled_from("123456"),
    keep=st.integers(2, 6),
)
def test_wanted_release_and_the_one_before_always_stay(
    versions: list[str],
    current: str | None,
    previous: str | None,
    wanted: str,
    keep: int,
) -> None:
    found = FoundReleases(dict.fromkeys(versions, "a" * 64), current, previous)
    removed = prunable(replace(RELEASE, version=wanted), found, keep)
    before = current if current != wanted else previous
    assert wanted not in removed
    assert before not in removed
    assert set(removed) <= set(versions)
    assert len({*versions, wanted} - set(removed)) <= keep


def test_credential_is_in_the_request_and_in_no_text_of_values() -> None:
    key = {"X-JFrog-Art-Api": "very-secret"}
    request = Fetch("/opt/app", "1.0.0", "https://a.example", "0" * 64, key)
    assert json.loads(to_json(request))["headers"] == key
    assert "very-secret" not in f"{request} {request!r}"


def test_node_reads_the_request_of_the_last_release() -> None:
    """Version 0.1.0 sent an access token, and nothing that was added since."""
    old = {"do": "fetch", "folder": "/opt/app", "version": "1.0.0"}
    old |= {"url": "https://a.example", "sha256": "0" * 64}
    without = Fetch("/opt/app", "1.0.0", "https://a.example", "0" * 64)
    assert from_json(json.dumps({**old, "token": None})) == without
    found = from_json(json.dumps({**old, "token": "secret"}))
    assert found == replace(without, headers={"Authorization": "Bearer secret"})


@pytest.mark.parametrize(
    "request_",
    [
        Fetch("/opt/app", "1.0.0", "https://a.example", "0" * 64),
        Fetch(
            *("/opt/app", "1.0.0", "https://a.example", "0" * 64, {"a": "b"}, "PEM"),
            links=("/etc/ssl",),
            programs=("bin/app", "bin/test"),
            rehearse=True,
        ),
        Switch("/opt/app", "1.0.0"),
        Remove("/opt/app", ("1.0.0", "2.0.0")),
    ],
)
def test_node_reads_the_request_that_was_written(request_: Request) -> None:
    assert from_json(to_json(request_)) == request_


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"do": "fetch"}', '{"do": "x"}'])
def test_anything_else_is_no_request(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a request|Expecting value"):
        from_json(text)
