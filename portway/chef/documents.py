"""What ``knife … show -F json`` and chef-solo's ``-j`` have, each with its kind."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from portway.errors import PortwayError
from portway.model.chef import without_comments
from portway.model.clients import object_without_repeats

Attributes = dict[str, Any]


class Kind(StrEnum):
    """What a document is of."""

    NODE = "node"
    ROLE = "role"
    ENVIRONMENT = "environment"
    ITEM = "data bag item"
    ATTRIBUTES = "attributes"


@dataclass(frozen=True, slots=True)
class Document:
    """One export."""

    source: str
    """The file."""
    kind: Kind
    name: str
    body: Mapping[str, Any]

    def level(self, *names: str) -> Attributes:
        """The attributes of a level, whichever of these names it has."""
        found = [
            self.body[name] for name in names if isinstance(self.body.get(name), dict)
        ]
        return found[0] if found else {}

    @property
    def has_run(self) -> bool:
        """Whether a node has what Chef merged for it in its last run."""
        return any(map(self.level, ("automatic", "default", "override")))

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.source


def read(text: str, source: str) -> Document:
    """The export in a text. PortwayError if it is none."""
    try:
        body = json.loads(
            without_comments(text),
            object_pairs_hook=object_without_repeats,
            parse_constant=_refuse_constant,
        )
        json.dumps(body, ensure_ascii=False).encode()  # halves of a character cannot
    except (ValueError, RecursionError) as error:
        if source.endswith(".rb"):
            raise PortwayError(
                f"{source} is Ruby, which is not read",
                do="knife role show NAME -F json, or knife environment show …, prints "
                "it as JSON",
            ) from error
        raise PortwayError(f"{source} is not valid JSON: {error}") from error
    if isinstance(body, list):
        raise PortwayError(
            f"{source} is a list, as knife data bag show BAG prints",
            why="it has names only",
            do="knife data bag show BAG ITEM -F json",
        )
    if not isinstance(body, dict):
        raise PortwayError(f"{source} is no JSON object, so it is no export of Chef's")
    kind = _kind(body)
    if kind is Kind.ITEM and isinstance(body.get("raw_data"), dict):
        body = body["raw_data"]
    name = body.get("id" if kind is Kind.ITEM else "name", "")
    named = kind is not Kind.ATTRIBUTES and isinstance(name, str)
    return Document(source, kind, name if named else "", body)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON's")


def _kind(body: Attributes) -> Kind:
    said = str(body.get("chef_type") or body.get("json_class") or "").lower()
    said = said.rpartition("::")[2].replace("databagitem", "data_bag_item")
    for kind in (Kind.NODE, Kind.ROLE, Kind.ENVIRONMENT, Kind.ITEM):
        if said == kind.replace(" ", "_"):
            return kind
    if "name" in body and "chef_environment" in body:
        return Kind.NODE
    if {"default_attributes", "override_attributes"} & body.keys():
        roles = {"run_list", "env_run_lists"} & body.keys()
        return Kind.ROLE if roles else Kind.ENVIRONMENT
    if isinstance(body.get("id"), str) and "run_list" not in body:
        return Kind.ITEM
    return Kind.ATTRIBUTES
