"""What an update changes besides resources whose own text is another one."""

from collections.abc import Iterator
from typing import Any

from moto.autoscaling.models import FakeAutoScalingGroup
from moto.cloudformation import parsing
from moto.cloudformation.parsing import ResourceMap


def updates_follow_conditions() -> None:
    """Moto looks at a template's conditions only when a stack is created.

    AWS makes what a condition now asks for, changes what has an Fn::If of it, and at
    last removes what it no longer asks for.
    """
    model: Any = ResourceMap
    original = model.update

    def update(self: Any, template: Any, parameters: Any = None) -> None:
        before = dict(self.lazy_condition_map)
        original(self, template, parameters)
        after = dict(self.lazy_condition_map)
        turned = {name for name in after if after[name] is not before.get(name)}
        wanted = {
            name: resource
            for name, resource in self._resource_json_map.items()
            if after.get(resource.get("Condition"), True)
        }
        for name, resource in wanted.items():
            if self._parsed_resources.get(name) is None:
                self._parsed_resources.pop(name, None)
                self[name]  # made when it is asked for
            elif turned & set(_asked(resource)):
                _change(self, name)
        for name in self._resource_json_map.keys() - wanted.keys():
            if (gone := self._parsed_resources.pop(name, None)) is not None:
                self._delete_resource(gone, self._resource_json_map[name])

    model.update = update


def groups_follow_their_launch_template() -> None:
    """Moto changes no group for a new version of the launch template that it refers to.

    AWS has the group's next instances launched from it.
    """
    model: Any = ResourceMap
    original = model.update

    def update(self: Any, template: Any, parameters: Any = None) -> None:
        original(self, template, parameters)
        for name, resource in self._parsed_resources.items():
            if isinstance(resource, FakeAutoScalingGroup):
                properties = self._resource_json_map[name]["Properties"]
                launched = parsing.clean_json(properties["LaunchTemplate"], self)
                resource.launch_template_version = launched["Version"]

    model.update = update


def _change(resources: Any, name: str) -> None:
    changed = parsing.parse_and_update_resource(
        name,
        resources._resource_json_map[name],
        resources,
        account_id=resources._account_id,
        region_name=resources._region_name,
    )
    resources._parsed_resources[name] = changed


def _asked(part: Any) -> Iterator[str]:
    """The conditions that an Fn::If in a resource asks."""
    parts = [part]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if "Fn::If" in part:
                yield part["Fn::If"][0]
            parts += part.values()
        elif isinstance(part, list):
            parts += part
