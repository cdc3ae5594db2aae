"""Whether a turn has anything to do; most have not, and load nothing for it."""

from portway.agent.memory import Files
from portway.aws.looking import Look, LookError, Places, look_at


def why_idle(
    files: Files,
    now: float,
    interval: float,
    look: Look = look_at,
) -> str | None:
    """Why there is no run now; empty if there is nothing to do, None if there may be.

    AWS is asked only if nothing else decides it, and a run has asked it before.
    LookError if it does not answer then.
    """
    why = files.why_idle(now, interval)
    memory = files.memory()
    if why != "" or not memory.places:
        return why
    try:
        found = look(Places(**memory.places))
    except (LookError, TypeError) as error:
        raise LookError(f"not known whether anything has changed: {error}") from error
    return "" if found == memory.seen else None
