"""The one error that Portway raises for things its users can put right."""

from pyinfra.api.exceptions import PyinfraError


class PortwayError(PyinfraError):
    """A refusal or failure told in one paragraph: what, where, and the way out.

    It is a PyinfraError so that the pyinfra command prints its text and exits
    with status 1 instead of printing a traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
