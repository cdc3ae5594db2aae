"""Which of Chef's levels counts, held against what Chef documents."""

import itertools
from typing import Any

import pytest

from portway.chef.documents import Document, Kind
from portway.chef.precedence import merged, resolve

LEVELS = (
    (Kind.ENVIRONMENT, "default_attributes"),
    (Kind.ROLE, "default_attributes"),
    (Kind.NODE, "normal"),
    (Kind.ROLE, "override_attributes"),
    (Kind.ENVIRONMENT, "override_attributes"),
)
"""The one that counts most last."""


def result(*levels: tuple[Kind, str], **values: Any) -> dict[str, Any]:
    """What a node has if each level sets ``a`` to its place, or to its value."""
    bodies: dict[Kind, dict[str, Any]] = {
        Kind.NODE: {"chef_environment": "e", "run_list": ["role[r]"]},
        Kind.ROLE: {"run_list": []},
        Kind.ENVIRONMENT: {},
    }
    for kind, level in levels:
        value = values.get(f"{kind}_{level}", LEVELS.index((kind, level)))
        bodies[kind][level] = {"a": value}
    names = {Kind.NODE: "n", Kind.ROLE: "r", Kind.ENVIRONMENT: "e"}
    (found,) = resolve(Document("f", k, names[k], body) for k, body in bodies.items())
    return found.attributes


@pytest.mark.parametrize("count", range(1, len(LEVELS) + 1))
def test_highest_level_counts(count: int) -> None:
    for levels in itertools.combinations(LEVELS, count):
        assert result(*levels) == {"a": LEVELS.index(levels[-1])}


def test_lists_are_united_within_default_and_replaced_between_levels() -> None:
    lists = {
        "environment_default_attributes": [1, 2],
        "role_default_attributes": [2, 3],
        "node_normal": [4],
    }
    assert result(*LEVELS[:2], **lists) == {"a": [1, 2, 3]}
    assert result(*LEVELS[:3], **lists) == {"a": [4]}


def test_hashes_are_merged_and_null_replaces() -> None:
    old = {"a": {"b": 1, "c": [1]}, "d": 1}
    new = {"a": {"b": 2, "c": [2]}, "d": None}
    assert merged(old, new, unite=False) == {"a": {"b": 2, "c": [2]}, "d": None}
    assert merged(old, new, unite=True)["a"]["c"] == [1, 2]
    assert merged({"a": {"b": 1}}, {"a": 2}, unite=True) == {"a": 2}


def test_role_goes_before_the_roles_in_its_run_list() -> None:
    roles = [
        Document(
            "f",
            Kind.ROLE,
            name,
            {"run_list": inner, "default_attributes": {"a": name, name: 1}},
        )
        for name, inner in (("outer", ["role[inner]", "recipe[x]"]), ("inner", []))
    ]
    (found,) = resolve(roles)
    assert found.attributes == {"a": "outer", "outer": 1, "inner": 1}


def test_environment_has_run_lists_of_its_own() -> None:
    body: dict[str, Any] = {"run_list": ["role[b]"], "env_run_lists": {"e": []}}
    documents = [
        Document(
            "f", Kind.NODE, "n", {"chef_environment": "e", "run_list": ["role[a]"]}
        ),
        Document("f", Kind.ENVIRONMENT, "e", {}),
        Document("f", Kind.ROLE, "a", body),
        Document("f", Kind.ROLE, "b", {"default_attributes": {"x": 1}}),
    ]
    (found,) = resolve(documents)
    assert found.attributes == {}
    assert found.notes == ("role b is not used: no run list or node names it",)
