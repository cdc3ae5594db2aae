"""Who moved: people, by what they want now, or the world, by what is there now."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

import gevent
from pyinfra.api.host import Host
from pyinfra.context import ctx_host

from portway.errors import PortwayError
from portway.model.deployed import Deployed
from portway.model.settings import settings_from
from portway.ops.describing import key
from portway.ops.differences import Difference
from portway.ops.findings import DATABASE, NODE
from portway.ops.left import Left, LeftFacts
from portway.ops.remote import ask
from portway.run.inventory import current_run

ANSWER_SECONDS = 10
Moved = Literal["you", "world", "unknown"]
YOU: Moved = "you"
WORLD: Moved = "world"
NOBODY_KNOWS: Moved = "unknown"
Records = Mapping[str, Mapping[str, Left]]
"""What earlier runs left, by node and part."""


def left_on(hosts: Iterable[Host]) -> Records:
    """What earlier runs left on nodes; nothing on one that cannot be asked."""

    def read(host: Host) -> dict[str, Left]:
        late = PortwayError(f"{host.name} does not answer")
        try:
            with gevent.Timeout(ANSWER_SECONDS, late):
                return ask(host, LeftFacts)
        except PortwayError:
            return {}

    asked = {host.name: gevent.spawn(read, host) for host in hosts}
    gevent.joinall(asked.values())
    return {name: greenlet.get() for name, greenlet in asked.items()}


def ours_now(host: Host) -> Deployed | None:
    """What a run would leave on record now; None if settings are wrong."""
    try:
        with ctx_host.use(host):
            settings = settings_from(host.data.dict())  # type: ignore[no-untyped-call]
        sha256 = hashlib.sha256(settings.clients_path.read_bytes()).hexdigest()
    except (PortwayError, OSError):
        return None
    return Deployed(current_run().checkout, sha256, settings.sha256, "", "", 0, True)


def who_moved(
    node: str, difference: Difference, left: Records, ours: Deployed | None
) -> Moved:
    """Who changed a thing since the last run that succeeded.

    If what was wanted then is still wanted, the thing itself was changed. Otherwise the
    wish was: by people, if what they decide has changed, or else by what AWS says.
    """
    records = [left[node]] if node in left else list(left.values())
    part = DATABASE if node == DATABASE else NODE
    known = [record[part] for record in records if part in record]
    if not known:
        return NOBODY_KNOWS
    name = key(difference.kind, difference.thing)
    if any(record.wishes.get(name, "") == difference.wish for record in known):
        return WORLD
    if difference.kind == "SQL file":
        return YOU
    return WORLD if all(_same(record, ours) for record in known) else YOU


def _same(record: Left, ours: Deployed | None) -> bool:
    """Whether people have changed nothing since a record was made."""
    deployed = Deployed.from_json(record.made_with)
    return (
        deployed is not None
        and ours is not None
        and deployed.checkout == ours.checkout
        and deployed.clients_sha256 == ours.clients_sha256
        and deployed.settings_sha256 == ours.settings_sha256
    )
