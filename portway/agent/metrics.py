"""What a node that deploys to itself tells Prometheus, by the node exporter."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from portway.agent.memory import Files, Memory
from portway.contract.paths import METRICS_FOLDER
from portway.errors import PortwayError
from portway.run.local_files import SHARED, replace_file

PREFIX = "portway_agent_"
FILE = METRICS_FOLDER / "portway_agent.prom"
"""Written by each turn that comes to its end."""
METRICS = {
    "ran_seconds": "When this node last deployed to itself, since 1970; 0 for never.",
    "succeeded_seconds": "When it last did so and all was well, since 1970.",
    "failures": "Runs that have failed since one succeeded.",
    "refuses": "Whether it refuses a release, or has not served with the one it took.",
    "blind": "Whether AWS did not say whether there is something to do.",
    "suspended": "Whether somebody has suspended it.",
    "served": "1; `release` is the one with which it last served.",
    "changes_total": "What its runs have changed since its memory was begun: `what`, "
    "and `why`: drift if nobody wanted anything else than the last time, else wanted.",
}
"""Help texts by name, without the prefix; all are gauges but those in ``_total``."""


def save(
    files: Files, stack: str, role: str, path: Path = FILE, *, is_blind: bool = False
) -> None:
    """Write Prometheus's text format, if the node exporter's folder is there.

    ``role`` is what the node is in its stack; ``is_blind`` says that a look at AWS was
    not answered.
    """
    if not path.parent.is_dir():
        return
    memory = files.memory()
    values = {
        "ran_seconds": memory.ran,
        "succeeded_seconds": memory.succeeded,
        "failures": memory.failures,
        "refuses": int(memory.refusal is not None or memory.goes_back),
        "blind": int(is_blind or not memory.places),
        "suspended": int(files.suspension() is not None),
        "served": 1,
    }
    where = f'stack="{stack}",role="{role}"'
    text = "".join((*_lines(values, where, memory.served), *_changes(memory, where)))
    # A full disk stops no turn: there is an alert for a file that is not written.
    with suppress(PortwayError):
        replace_file(path, text, SHARED)


def _lines(values: Mapping[str, float], where: str, release: str) -> Iterator[str]:
    for name, value in values.items():
        more = f',release="{release}"' if name == "served" else ""
        yield f"# HELP {PREFIX}{name} {METRICS[name]}\n"
        yield f"# TYPE {PREFIX}{name} gauge\n"
        yield f"{PREFIX}{name}{{{where}{more}}} {value}\n"


def _changes(memory: Memory, where: str) -> Iterator[str]:
    name = f"{PREFIX}changes_total"
    yield f"# HELP {name} {METRICS['changes_total']}\n# TYPE {name} counter\n"
    for why, counts in (("drift", memory.repaired), ("wanted", memory.changed)):
        for what, count in sorted(counts.items()):
            label = what.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
            yield f'{name}{{{where},why="{why}",what="{label}"}} {count}\n'
