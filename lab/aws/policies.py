"""What IAM policies allow: as much of their language as the lab's stack uses. Pure.

What it does not know is an error, never ignored: a statement must not count for less,
or more, than in AWS.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.errors import LabError

Statement = Mapping[str, Any]
ANYTHING = "*"
"""What a call is about that AWS does not limit to resources."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_KNOWN = {"Sid", "Effect", "Action", "Resource", "Condition"}


@dataclass(frozen=True, slots=True)
class Resource:
    """What a call is about, and what conditions may ask of the call and of it."""

    arn: str = ANYTHING
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of condition keys, by key."""


def allowed(
    statements: Iterable[Statement], action: str, resources: Sequence[Resource]
) -> bool:
    """Whether statements allow an action on every one of its resources."""
    found = list(statements)
    for statement in found:
        if unknown := statement.keys() - _KNOWN:
            raise LabError(
                f"lab/aws/policies.py does not know {', '.join(sorted(unknown))} in a "
                "policy's statement: teach it"
            )

    def effects(resource: Resource) -> set[str]:
        return {s["Effect"] for s in found if _applies(s, action, resource)}

    return bool(resources) and all(effects(r) == {"Allow"} for r in resources)


def _applies(statement: Statement, action: str, resource: Resource) -> bool:
    return (
        any(_like(p, action, ignore_case=True) for p in _listed(statement["Action"]))
        and any(_like(p, resource.arn) for p in _listed(statement["Resource"]))
        and all(
            _holds(
                operator,
                _filled_in(_listed(wanted), resource),
                resource.context.get(key),
            )
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _filled_in(wanted: Sequence[str], resource: Resource) -> Sequence[str]:
    """The values of a condition, with the call's own in place of variables.

    One that has a variable without a value fits nothing.
    """

    def value(found: re.Match[str]) -> str:
        values = resource.context[found[1]]
        if len(values) != 1 or set("*?$") & set(values[0]):
            raise LabError(f"lab/aws/policies.py cannot fill in {found[0]}: teach it")
        return values[0]

    known = [
        text
        for text in wanted
        if all(key in resource.context for key in _VARIABLE.findall(text))
    ]
    return [_VARIABLE.sub(value, text) for text in known]


def _holds(
    operator: str, wanted: Sequence[str], values: tuple[str, ...] | None
) -> bool:
    """Whether a condition holds for the values of its key, None if there is no key."""
    quantifier, _, plain = operator.rpartition(":")
    matches = _OPERATORS.get(plain)
    if matches is None or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise LabError(f"lab/aws/policies.py does not know {operator}: teach it")
    fits = [any(matches(w, value) for w in wanted) for value in values or ()]
    if quantifier == "ForAllValues":
        return all(fits)
    return any(fits)


def _like(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    wild = {"*": ".*", "?": "."}
    words = "".join(wild.get(c, re.escape(c)) for c in pattern)
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return re.fullmatch(words, text, flags) is not None


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringLike": _like,
    "ArnLike": _like,
    "ArnEquals": _like,
}


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
