"""The file that records a planned transfer of the address."""


def transfer_text(*, gives_away: bool) -> str:
    """What to write into it."""
    return f"{gives_away:d}\n"


def is_given_away(text: str) -> bool:
    """Whether a node with this text gives the address away, as keepalived reads it.

    keepalived takes text that is not a number for 0.
    """
    try:
        return int(text) != 0
    except ValueError:
        return False
