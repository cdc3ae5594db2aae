"""Account numbers and secrets stay with the user."""

from datetime import UTC, datetime

import pytest

from acceptance.terminal.masking import GONE, LONGEST_TEXT, Mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("arn:aws:iam::123456789012:role/a", "arn:aws:iam::ACCOUNT:role/a"),
        ("account 123456789012.", "account ACCOUNT."),
        ("eni-0123456789012", "eni-0123456789012"),
        ("i-a123456789012", "i-a123456789012"),
        ("key ASIAABCDEFGHIJKLMNOP is old", "key ACCESS-KEY is old"),
        (
            "arn:aws:sts::123456789012:assumed-role/Admin/jane.doe@example.com.",
            "arn:aws:sts::ACCOUNT:assumed-role/Admin/SESSION.",
        ),
        ("AROAABCDEFGHIJKLMNOP:jane.doe is not", "ACCESS-KEY:SESSION is not"),
        (
            "denied. Encoded authorization failure message: aBc-123 more",
            f"denied. Encoded authorization failure message: {GONE} more",
        ),
    ],
)
def test_text_is_masked(text: str, masked: str) -> None:
    assert Mask().text(text) == masked


def test_what_was_said_to_be_secret_is_taken_out_everywhere() -> None:
    mask = Mask()
    mask.hide("hunter2hunter2", "")
    assert mask.text("it is hunter2hunter2!") == f"it is {GONE}!"
    assert mask.value({"Any": ["hunter2hunter2"]}) == {"Any": [GONE]}


def test_secret_fields_are_taken_out_of_answers() -> None:
    answer = {
        "Credentials": {"SecretAccessKey": "abc", "SessionToken": "def"},
        "SecretString": '{"password": "ghi"}',
        "ResponseMetadata": {"RequestId": "1"},
        "Arn": "arn:aws:rds:r:123456789012:db:x",
        "At": datetime(2026, 1, 2, tzinfo=UTC),
    }
    assert Mask().value(answer) == {
        "Credentials": {"SecretAccessKey": GONE, "SessionToken": GONE},
        "SecretString": GONE,
        "Arn": "arn:aws:rds:r:ACCOUNT:db:x",
        "At": "2026-01-02T00:00:00+00:00",
    }


def test_long_answers_are_cut() -> None:
    value = Mask().value({"Text": "x" * 10_000, "List": list(range(100))})
    assert len(value["Text"]) == LONGEST_TEXT + 1
    assert value["List"][-1] == "… and 80 more"
