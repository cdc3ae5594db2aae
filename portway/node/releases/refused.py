"""The refusal that ends a request."""


class RefusedError(Exception):
    """Why it was not done, in one line, and what to do."""

    def __init__(self, what: str, do: str = "") -> None:
        self.what, self.do = what, do
        super().__init__(what)
