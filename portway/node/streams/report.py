"""What the keeper reports: a status file and metrics."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from portway.contract.metrics import STREAMS_METRICS, STREAMS_PREFIX
from portway.contract.paths import STREAMS_METRICS_FILE, STREAMS_STATUS
from portway.node.host import write_whole


def save(known: Mapping[str, Any], path: Path = STREAMS_STATUS) -> None:
    """Write the status for the operator's runs, and for this program's next start."""
    write_whole(path, json.dumps(known) + "\n")


def closed_before(path: Path = STREAMS_STATUS) -> Counter[str]:
    """How many streams were closed by the time of the last status, by reason."""
    try:
        found = json.loads(path.read_text())["closed"]
        return Counter({str(reason): int(count) for reason, count in found.items()})
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        return Counter()


def save_metrics(
    known: Mapping[str, Any], stack: str, path: Path = STREAMS_METRICS_FILE
) -> None:
    """Write Prometheus's text format, if the node exporter's folder is there."""
    if path.parent.is_dir():
        write_whole(path, "".join(_metric_lines(known, stack)))


def _metric_lines(known: Mapping[str, Any], stack: str) -> Iterator[str]:
    values = {
        "older_workers": len(known["older"]),
        "older_streams": sum(worker["streams"] for worker in known["older"]),
    }
    for name, help_ in STREAMS_METRICS.items():
        is_counter = name.endswith("_total")
        reason = name.removeprefix("closed_").removesuffix("_total")
        value = known["closed"].get(reason, 0) if is_counter else values[name]
        yield f"# HELP {STREAMS_PREFIX}{name} {help_}\n"
        yield f"# TYPE {STREAMS_PREFIX}{name} {'counter' if is_counter else 'gauge'}\n"
        yield f'{STREAMS_PREFIX}{name}{{stack="{stack}"}} {value}\n'
