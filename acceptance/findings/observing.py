"""What AWS really answers to what docs/aws.md says was never seen.

A function for each line that can be observed; it makes calls that change nothing, or
looks at what the parts of the run have noticed.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from acceptance.account.calls import Answer
from acceptance.findings import database, instances, moves, permissions, template
from acceptance.findings.verdict import FailedError, Observer, Verdict
from acceptance.parts.view import View
from acceptance.plan.items import ITEMS, After

OBSERVERS: Mapping[str, Observer] = {
    **moves.OBSERVERS,
    **permissions.OBSERVERS,
    **template.OBSERVERS,
    **instances.OBSERVERS,
    **database.OBSERVERS,
}


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one line."""

    item: str
    verdict: Verdict
    text: str
    seconds: float
    answers: tuple[Answer, ...] = ()


def observe(view: View, after: After) -> list[Observation]:
    """Everything that can be observed after a part of a run."""
    options = view.options
    return [
        observe_line(view, key)
        for key, item in ITEMS.items()
        if item.after is after
        and item.is_seen(options.kind, has_tunnel=options.has_tunnel)
    ]


def observe_line(view: View, key: str) -> Observation:
    """What was seen of one line; an observation that fails is unclear."""
    began = time.monotonic()
    with view.owner.heard() as of_owner, view.operator.heard() as of_operator:
        try:
            verdict, text = OBSERVERS[key](view)
        except FailedError as error:
            verdict, text = Verdict.DIFFERS, str(error)
        except Exception as error:  # one probe must not end the run
            verdict, text = Verdict.UNCLEAR, f"{type(error).__name__}: {error}"
    seconds = round(time.monotonic() - began, 1)
    return Observation(key, verdict, text, seconds, (*of_owner, *of_operator))
