"""A stack's template as CloudFormation has it, and what was made by what it says.

Functions such as ``!Sub`` are not computed: what is there either can have come of them
or cannot.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import yaml

from portway.aws.client import Aws
from portway.model.stack import Stack

NOTHING = "AWS::NoValue"


class _Loader(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation's functions."""


def _function(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    """The long form: ``!Ref X`` is ``{"Ref": "X"}``."""
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(cast(yaml.MappingNode, node), deep=True)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


def read_resources(aws: Aws, stack: Stack) -> Mapping[str, Any]:
    """The resources of a stack's template by name. PortwayError if AWS refuses."""
    body = aws.call(
        "cloudformation",
        "get_template",
        f"stack {stack.name}",
        StackName=stack.name,
        TemplateStage="Processed",
    )["TemplateBody"]
    if isinstance(body, str):  # YAML; what was JSON comes as values
        return resources_of(body)
    found: Mapping[str, Any] = body["Resources"]
    return found


def resources_of(template: str) -> Mapping[str, Any]:
    """The resources of a template in YAML, by name."""
    body = yaml.load(template, _Loader)  # noqa: S506 - it is a SafeLoader
    found: Mapping[str, Any] = body["Resources"]
    return found


def can_be(said: Any, there: Any) -> bool:
    """Whether a value can have come of what a template says.

    One value counts as a list with nothing else in it, and the order of a list does
    not count, as in policies.
    """
    if (name := _function_of(said)) is not None:
        return _can_come_of(name, said[name], there)
    if isinstance(said, Mapping):
        return isinstance(there, Mapping) and all(
            can_be(said.get(key), there.get(key)) for key in said.keys() | there.keys()
        )
    if _is_list(said) or _is_list(there):
        return _are_items(
            list(said) if _is_list(said) else [said],
            list(there) if _is_list(there) else [there],
        )
    return _plain(said) == _plain(there)


def _plain(value: Any) -> str | None:
    """A value as policies may also write it: true as "true", 1 as "1"."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _function_of(said: Any) -> str | None:
    """The function that a value is made by, if it is."""
    if not isinstance(said, Mapping) or len(said) != 1:
        return None
    (name,) = said
    return name if name == "Ref" or name.startswith("Fn::") else None


def _can_come_of(function: str, value: Any, there: Any) -> bool:
    if function == "Fn::If":
        return can_be(value[1], there) or can_be(value[2], there)
    if function == "Fn::Sub":
        return _is_filled_in(value if isinstance(value, str) else value[0], there)
    if value == NOTHING:
        return there is None
    return isinstance(there, str) and "*" not in there


def _is_filled_in(text: str, there: Any) -> bool:
    """Whether a string is this one, with something in place of each ``${…}``."""
    parts = re.split(r"\$\{[^!}][^}]*\}", text)
    pattern = "[^*]*".join(re.escape(part.replace("${!", "${")) for part in parts)
    return isinstance(there, str) and re.fullmatch(pattern, there) is not None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _are_items(said: list[Any], there: list[Any]) -> bool:
    for value in said:
        found = next((one for one in there if can_be(value, one)), None)
        if found is not None:
            there.remove(found)
        elif not can_be(value, None):
            return False
    return not there
