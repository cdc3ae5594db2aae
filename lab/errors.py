"""The lab's own error: told in words, printed without a traceback."""


class LabError(Exception):
    """Something the lab cannot do: what, why, and the way out."""
