"""Who a run is: what everything that it makes is named and tagged with."""

from dataclasses import dataclass

TAG = "portway:acceptance"
"""On everything that takes tags; its value is the run's id."""


@dataclass(frozen=True, slots=True)
class Run:
    """Who runs what, where."""

    id: str
    account: str
    partition: str

    @property
    def key_name(self) -> str:
        return f"portway-acceptance-{self.id}"

    @property
    def role_name(self) -> str:
        return f"portway-acceptance-{self.id}"

    @property
    def tags(self) -> list[dict[str, str]]:
        return [{"Key": TAG, "Value": self.id}]
