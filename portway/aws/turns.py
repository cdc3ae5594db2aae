"""Turns to be out of service, in S3: taken by one node at a time, whoever is faster."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from portway.aws.client import Aws
from portway.aws.errors import AwsCallError
from portway.errors import PortwayError
from portway.model.turn import Seen, Turn, why_not

FOLDER = "turns"
"""Below it are the objects, in the bucket of the releases."""
LOST = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
"""Somebody else was faster."""


class TurnRefused(PortwayError):  # noqa: N818 - a state, not an error of the program
    """Another node has failed with what this one is to be given."""


class Turns:
    """The turns of a stack's application nodes; at most one of them is this node's."""

    def __init__(
        self, region: str, bucket: str, size: int, *, instance: str, node: str
    ) -> None:
        """``size`` is how many nodes may be out of service at once."""
        self._aws, self._bucket = Aws(region), bucket
        self._keys = [f"{FOLDER}/{number}" for number in range(1, size + 1)]
        self._instance, self._node = instance, node
        self._held: tuple[str, str, Turn] | None = None
        """Its key, what S3 calls what we wrote last, and that."""
        self._wanted = ""

    def take(self, wanted: str, others: Collection[str]) -> str:
        """Take a turn; why that cannot be, or empty once it is ours.

        ``wanted`` stands for what the node is given, the same for all nodes; ``others``
        are the instances that there are. Refused if one of them has not served with it.
        PortwayError if AWS refuses it.
        """
        own = self._instance
        found = {key: self._read(key) for key in self._keys}
        reasons = {key: why_not(s, own, wanted, others) for key, s in found.items()}
        for key, seen in found.items():
            if seen.turn and seen.turn.is_refused(own, wanted, others):
                raise TurnRefused(reasons[key])
        # One of our own first: a run that was killed had it.
        keys = sorted(self._keys, key=lambda key: not self._is_own(found[key]))
        for key in (key for key in keys if not reasons[key]):
            before = found[key].turn or Turn(self._instance, self._node)
            turn = replace(
                before,
                instance=self._instance,
                node=self._node,
                is_over=False,
                count=before.count + 1,
            )
            if etag := self._write(key, turn, found[key].etag):
                self._held, self._wanted = (key, etag, turn), wanted
                return ""
        return next(filter(None, reasons.values()), "another node was faster")

    def renew(self) -> bool:
        """Make the turn last; whether it is still ours.

        PortwayError if AWS does not say.
        """
        return self._go_on()

    def end(self) -> None:
        """Give the turn back."""
        self._go_on(is_over=True)
        self._held = None

    def fail(self) -> None:
        """Say that the node did not serve; its turn is over when it has expired."""
        self._go_on(failed=self._wanted, failed_on=self._instance)
        self._held = None

    def forgive(self, wanted: str) -> None:
        """Say that this node does serve with what it once has failed with."""
        for key in self._keys:
            seen = self._read(key)
            turn = seen.turn
            if turn and (turn.failed, turn.failed_on) == (wanted, self._instance):
                turn = replace(turn, failed="", failed_on="", count=turn.count + 1)
                self._write(key, turn, seen.etag)

    def _go_on(self, **changes: Any) -> bool:
        if self._held is None:
            return False
        key, etag, turn = self._held
        turn = replace(turn, count=turn.count + 1, **changes)
        etag = self._write(key, turn, etag)
        if not etag and (seen := self._read(key)).turn == turn:
            etag = seen.etag  # it was written, and the answer was lost
        self._held = (key, etag, turn) if etag else None
        return bool(etag)

    def _is_own(self, seen: Seen) -> bool:
        return seen.turn is not None and seen.turn.instance == self._instance

    def _read(self, key: str) -> Seen:
        try:
            answer = self._aws.call(
                "s3", "get_object", _about(key), Bucket=self._bucket, Key=key
            )
        except AwsCallError as error:
            # Whoever may not list a bucket is told that access is denied. Writing it
            # shows whether that is all.
            if error.code not in ("NoSuchKey", "AccessDenied"):
                raise
            return Seen(None)
        text = answer["Body"].read().decode(errors="replace")
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        now = parsedate_to_datetime(headers["date"])
        if now.tzinfo is None:
            now = now.replace(tzinfo=UTC)
        written: datetime = answer["LastModified"]
        age = (now - written).total_seconds()
        return Seen(Turn.from_json(text), str(answer["ETag"]), age)

    def _write(self, key: str, turn: Turn, etag: str) -> str:
        """What S3 calls what was written; empty if somebody else was faster."""
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            answer = self._aws.call(
                "s3",
                "put_object",
                _about(key),
                Bucket=self._bucket,
                Key=key,
                Body=turn.to_json().encode(),
                **condition,
            )
        except AwsCallError as error:
            if error.code not in LOST:
                raise
            return ""
        return str(answer["ETag"])


def _about(key: str) -> str:
    return f"turn {key.rpartition('/')[2]} to be out of service"
