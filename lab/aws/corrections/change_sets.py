"""What ``aws cloudformation deploy`` does: changes by change set, not by a call."""

from typing import Any

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse

from lab.aws.corrections.deletion import DELETE_FAILED

_backend: Any = CloudFormationBackend
_responses: Any = CloudFormationResponse


def change_sets_do_what_calls_do() -> None:
    """Moto's change sets make stacks without outputs, events, order and conditions.

    An update takes every parameter that keeps its value for a changed one, fails on
    lists among them, and is refused if it changes nothing, where AWS makes a change
    set that says so.
    """
    create, find = _backend.create_change_set, _backend.describe_change_set

    def create_change_set(
        self: Any,
        stack_name: str,
        change_set_name: str,
        template: str,
        parameters: dict[str, Any],
        *rest: Any,
        **named: Any,
    ) -> Any:
        texts = {name: _text(value) for name, value in parameters.items()}
        for stack in (s for s in self.stacks.values() if s.name == stack_name):
            if stack.status == DELETE_FAILED:
                raise ValidationError(
                    message=f"Stack:{stack.stack_id} is in {DELETE_FAILED} state and "
                    "can not be updated."
                )
            known = stack.stack_parameters
            texts = {
                name: value
                for name, value in texts.items()
                if name in stack.parameters or value != _text(known.get(name))
            }
        return create(
            self, stack_name, change_set_name, template, texts, *rest, **named
        )

    def execute_change_set(
        self: Any, change_set_name: str, stack_name: str | None = None
    ) -> None:
        del stack_name
        change_set = find(self, change_set_name)
        stack = self.stacks[change_set.stack_id]
        if change_set.change_set_type == "CREATE":
            _create(stack, change_set)
        else:
            stack.update(
                change_set.template, parameters=change_set.parameters, tags=None
            )
        change_set.execution_status = "EXECUTE_COMPLETE"

    refuse_same = _responses._validate_different_update

    def refuse_same_call(self: Any, *given: Any) -> None:
        if self._get_param("ChangeSetName") is None:
            refuse_same(self, *given)

    _responses._validate_different_update = refuse_same_call
    _backend.create_change_set = create_change_set
    _backend.execute_change_set = execute_change_set


def _create(stack: Any, change_set: Any) -> None:
    """Give the stack that waits for its change set what CreateStack begins with."""
    stack.template, stack.parameters = change_set.template, change_set.parameters
    stack._parse_template()
    stack.resource_map = stack._create_resource_map()
    stack.output_map = stack._create_output_map()
    stack._add_stack_event(
        "CREATE_IN_PROGRESS", resource_status_reason="User Initiated"
    )
    stack.create_resources()


def _text(value: Any) -> str:
    """A parameter's value as it was given."""
    return ",".join(value) if isinstance(value, list) else str(value)
