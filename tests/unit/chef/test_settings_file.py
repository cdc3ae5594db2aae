"""The lines for ``group_data/``: whatever exports have, Python reads these values."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portway.chef.settings_file import settings_file
from portway.errors import PortwayError
from portway.model.settings import Settings

TEXT = st.text(st.characters())  # halves of characters among them
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(sorted(Settings.model_fields)), st.tuples(JSON, TEXT), max_size=4
)


@hypothesis_settings(max_examples=100, deadline=None)
@given(ATTRIBUTES)
@example({"app_command": ('bin/a"; import os; x="', "lb.command (role a\nimport os)")})
@example({"app_command": ("\\d\ud800\x00\u2028\r", "\x00\r\x0c\ud800\\")})
@example({"threads": (True, "# -*- coding: utf-7 -*-")})
def test_names_of_the_file_have_exactly_the_values(
    attributes: dict[str, tuple[Any, str]],
) -> None:
    values = {name: value for name, (value, _) in attributes.items()}
    origins = {name: origin for name, (_, origin) in attributes.items()}
    text = settings_file(values, origins)
    found: dict[str, Any] = {}
    exec(compile(text.encode(), "settings.py", "exec"), found)
    assert found.pop("__builtins__")
    assert repr(found) == repr(values)
    assert len(text.splitlines()) == len(values) + 1


def test_texts_have_the_quotes_of_the_project() -> None:
    text = settings_file({"balance": 'so "ünd" so'}, {"balance": "lb.balance"})
    assert text.splitlines()[1] == r'balance = "so \"ünd\" so"  # lb.balance'


@pytest.mark.parametrize("value", [json.loads("1e999"), object()])
def test_what_python_would_not_read_again_is_refused(value: object) -> None:
    with pytest.raises(PortwayError, match="balance cannot be written as Python"):
        settings_file({"balance": value}, {"balance": "lb.balance"})
