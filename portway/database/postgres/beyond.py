"""What lets the application do more than it should, and which Portway leaves. Pure.

It is named in a warning: to take it away would concern others, or is another's to do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from portway.database.postgres import owners
from portway.database.postgres.dialect import giver, unwanted_of_everybody
from portway.database.state import FoundDatabase, Kind, Scope, WantedDatabase


def beyond(
    wanted: WantedDatabase, found: FoundDatabase, answer: Mapping[str, Any]
) -> tuple[str, ...]:
    """Each thing in a sentence."""
    return tuple(
        dict.fromkeys(
            (
                *_owned(found, answer),
                *_elsewhere(answer),
                *_of_everybody(wanted, found, answer),
            )
        )
    )


def _owned(found: FoundDatabase, answer: Mapping[str, Any]) -> Iterator[str]:
    for row in answer["owned"]:
        kind, name = row["type"], row["identity"]
        yield (
            f"{row['user']} owns {kind} {name}, which is not in its schema; if it "
            f"should not: ALTER {kind.upper()} {name} OWNER TO {found.login}"
        )


def _elsewhere(answer: Mapping[str, Any]) -> Iterator[str]:
    for row in answer["elsewhere"]:
        yield (
            f"{row['user']} has rights in the database {row['database']} too, where "
            "Portway does not look"
        )


def _of_everybody(
    wanted: WantedDatabase, found: FoundDatabase, answer: Mapping[str, Any]
) -> Iterator[str]:
    rights = [
        (Scope(Kind[row["kind"]], tuple(row["name"])), row["right"])
        for row in answer["of_everybody"]
    ]
    for scope, unwanted in unwanted_of_everybody(wanted, found).items():
        if not owners.is_usable(giver(scope, found)):
            rights += [(replace(scope, by=""), right) for right in sorted(unwanted)]
    for scope, right in rights:
        yield f"everybody, and so the application, has {right} on {scope}"
