"""Chef's precedence of attributes, but for what cookbooks themselves have.

Default, normal, override and automatic, in this order, each replace what the one
before has; hashes are merged, lists are not. Within default and within override, lists
are united, and of a role and an environment the role comes last for default, the
environment for override (Chef::Node::Attribute, merge_all and COMPONENTS).
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from portway.chef.documents import Attributes, Document, Kind
from portway.errors import PortwayError

IN_CODE = "force_default and force_override, and what recipes and attribute files set"


@dataclass(frozen=True, slots=True)
class Source:
    """Attributes of one level, from one document."""

    title: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Resolved:
    """The attributes that a node has, or would have."""

    name: str
    attributes: Attributes
    sources: tuple[Source, ...]
    """Without what Ohai found; the one that counts most last."""
    notes: tuple[str, ...] = ()

    def origin(self, path: str) -> str:
        """Where a value comes from: the last source that has one there."""
        having = [s.title for s in self.sources if value_at(s.attributes, path) != {}]
        return having[-1] if having else ""


def value_at(attributes: Mapping[str, Any], path: str) -> Any:
    """The value at a path such as ``lb.clients``; an empty object if there is none."""
    value: Any = attributes
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return {}
        value = value[key]
    return value


def merged(onto: Any, with_: Any, *, unite: bool) -> Any:
    """Two values as Chef merges them; ``unite`` lists, or let the second replace."""
    if isinstance(onto, dict) and isinstance(with_, dict):
        both = {
            key: merged(onto[key], value, unite=unite) if key in onto else value
            for key, value in with_.items()
        }
        return onto | both
    if unite and isinstance(onto, list) and isinstance(with_, list):
        united: list[Any] = []
        for value in (*onto, *with_):
            if value not in united:
                united.append(value)
        return united
    return with_


def resolve(
    documents: Iterable[Document],
    *,
    environment: str | None = None,
    without_roles: Collection[str] = (),
) -> tuple[Resolved, ...]:
    """What each node has; of other files, what a node with all of them would have.

    PortwayError if a role or an environment is missing that decides about it.
    """
    found = list(documents)
    _refuse_unknown(without_roles, found)
    given = [d for d in found if d.kind is Kind.ATTRIBUTES]
    nodes = [d for d in found if d.kind is Kind.NODE]
    roles = {d.name: d for d in found if d.kind is Kind.ROLE}
    environments = {d.name: d for d in found if d.kind is Kind.ENVIRONMENT}
    known = _Known(roles, environments, environment, frozenset(without_roles))
    if not nodes:
        return (known.resolve(None, given),)
    return tuple(known.resolve(node, given) for node in nodes)


def _refuse_unknown(left_out: Iterable[str], documents: Iterable[Document]) -> None:
    """A role that nobody has is misspelt, and another one would count."""
    known = set()
    for document in documents:
        known |= {document.name} if document.kind is Kind.ROLE else set()
        of_environments = document.body.get("env_run_lists")
        lists = of_environments if isinstance(of_environments, dict) else {}
        for items in (document.body.get("run_list"), *lists.values()):
            known |= set(_run_list(items))
    for name in left_out:
        if name not in known:
            raise PortwayError(f"--without-role {name}: no run list names it")


@dataclass(frozen=True, slots=True)
class _Known:
    roles: Mapping[str, Document]
    environments: Mapping[str, Document]
    chosen: str | None
    left_out: frozenset[str]

    def resolve(self, node: Document | None, given: list[Document]) -> Resolved:
        own = [node] if node else []
        run_list = [
            i for d in (given or own) for i in _run_list(d.body.get("run_list"))
        ]
        run_list = run_list or [
            i for d in own for i in _run_list(d.body.get("run_list"))
        ]
        if not node and not run_list:
            run_list = list(self.roles)
        complete = bool(node and node.has_run)
        name = self._environment([*own, *given], complete)
        roles = list(self._expanded(run_list, name, set(), complete))
        env = [self.environments[name]] if name in self.environments else []
        notes = list(self._unused(roles, env))
        old = [Source(f"{d.title}, default", d.level("default")) for d in own]
        over = [Source(f"{d.title}, override", d.level("override")) for d in own]
        normal = [Source(f"{d.title}, normal", d.level("normal")) for d in own]
        normal += [Source(d.source, _plain(d)) for d in given]
        defaults = [*_levels(env, "default"), *_levels(roles, "default")]
        overrides = [*_levels(roles, "override"), *_levels(env, "override")]
        if complete and node:
            now = _merged([*old, *defaults], normal, [*over, *overrides])
            if now != _merged(old, normal, over):
                titles = " and ".join(d.title for d in (*env, *roles))
                notes.append(
                    f"{node.title} has what its last run merged, which differs from "
                    f"{titles} as exported: leave out the node to read those"
                )
        else:
            old, over = [*old, *defaults], [*over, *overrides]
        return Resolved(
            node.name if node else "",
            _merged(old, normal, over),
            tuple(s for s in (*old, *normal, *over) if s.attributes),
            tuple(notes),
        )

    def _environment(self, own: list[Document], complete: bool) -> str:
        named = [
            str(d.body["chef_environment"]) for d in own if "chef_environment" in d.body
        ]
        name = self.chosen or (named[-1] if named else "")
        if not name and len(self.environments) > 1:
            raise PortwayError(
                f"there are several environments: {', '.join(self.environments)}",
                do="say which one counts: --environment NAME",
            )
        name = name or next(iter(self.environments), "_default")
        is_needed = bool(self.chosen) or (name != "_default" and not complete)
        if name not in self.environments and is_needed:
            raise PortwayError(
                f"environment {name} is in none of the files",
                why="its attributes may go before those of others",
                do=f"knife environment show {name} -F json > {name}.json, and name it",
            )
        return name

    def _expanded(
        self, run_list: Iterable[str], environment: str, done: set[str], complete: bool
    ) -> Iterator[Document]:
        """The roles of a run list, those inside a role before it."""
        for name in run_list:
            if name in done or name in self.left_out:
                continue
            done.add(name)
            role = self.roles.get(name)
            if role is None and not complete:
                raise PortwayError(
                    f"role {name} is in a run list, and in none of the files",
                    why="its attributes may go before those of others",
                    do=f"knife role show {name} -F json > {name}.json, and name it, "
                    f"or --without-role {name}",
                )
            if role is None:
                continue
            lists = role.body.get("env_run_lists")
            mine = lists.get(environment) if isinstance(lists, dict) else None
            inner = _run_list(role.body.get("run_list") if mine is None else mine)
            yield from self._expanded(inner, environment, done, complete)
            yield role

    def _unused(self, roles: list[Document], env: list[Document]) -> Iterator[str]:
        used = {id(document) for document in (*roles, *env)}
        for document in (*self.roles.values(), *self.environments.values()):
            if id(document) not in used:
                yield f"{document.title} is not used: no run list or node names it"


def _run_list(items: object) -> list[str]:
    """The roles that a run list names."""
    texts = items if isinstance(items, list) else []
    found = (re.fullmatch(r"role\[([^\]]+)\]", str(text)) for text in texts)
    return [match[1] for match in found if match]


def _levels(documents: Iterable[Document], level: str) -> list[Source]:
    return [
        Source(f"{d.title}, {level}", d.level(f"{level}_attributes")) for d in documents
    ]


def _plain(document: Document) -> Attributes:
    """The attributes of a file for ``-j``, which are normal ones."""
    not_attributes = {"run_list", "recipes", "chef_environment"}
    return {k: v for k, v in document.body.items() if k not in not_attributes}


def _merged(
    defaults: list[Source], normal: list[Source], overrides: list[Source]
) -> Attributes:
    attributes: Attributes = {}
    for group in (defaults, normal, overrides):
        level: Attributes = {}
        for source in group:
            level = merged(level, source.attributes, unite=True)
        attributes = merged(attributes, level, unite=False)
    return attributes
