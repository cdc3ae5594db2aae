"""Each value of a clients file is found on its lines."""

import json

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portway.model.places import entry_places

CHEF = r"""{
  "name": "lb", // "clients": [
  "override_attributes": {
    "portway": {
      "clients": [ { "client_name": "a \"b\" : {",
          "client_port": /* 9000 */ 9001 },
        {
          "client_port": "9002", "client_name": "two",
          "allow": [
            {"cidr": "192.0.2.0/24", "client_name": "x"}
          ]
        }],
      "app_nodes": [
        {"app_node_ip": "10.0.0.1",
         "app_node_name": "app-1"}]
    }
  }
}
"""


def found(text: str, key: str = "clients") -> dict[tuple[str, str], tuple[int, int]]:
    return {(p.name, p.field): (p.first, p.last) for p in entry_places(text, key)}


def test_places_in_a_file_of_chef() -> None:
    assert found(CHEF) == {
        ('a "b" : {', ""): (5, 6),
        ('a "b" : {', "client_name"): (5, 5),
        ('a "b" : {', "client_port"): (6, 6),
        ("two", ""): (7, 12),
        ("two", "client_port"): (8, 8),
        ("two", "client_name"): (8, 8),
        ("two", "allow"): (9, 11),
    }
    assert found(CHEF, "app_nodes")["app-1", "app_node_ip"] == (14, 14)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
ENTRIES = st.lists(
    st.dictionaries(st.text(min_size=1, max_size=4), VALUES, max_size=3), max_size=4
)


@hypothesis_settings(max_examples=80, deadline=None)
@given(ENTRIES)
def test_lines_of_a_field_have_its_key_and_its_value(
    entries: list[dict[str, object]],
) -> None:
    named = [{"client_name": f"n{n}", **entry} for n, entry in enumerate(entries)]
    text = json.dumps({"clients": named}, indent=1)
    lines = text.splitlines()
    places = found(text)
    for entry in named:
        for field, value in entry.items():
            first, last = places[str(entry["client_name"]), field]
            shown = "\n".join(lines[first - 1 : last]).strip().removesuffix(",")
            assert json.loads(f"{{{shown}}}") == {field: value}
