"""The lab's own error: a message for people, printed without a traceback."""


class LabError(Exception):
    """Something the lab cannot do: what, why, and the way out."""
