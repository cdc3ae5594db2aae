"""Outcomes as one picture: a row for each scenario, time from its injection on.

The same outcomes give the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from lab.failover.outcome import AFTER, BEFORE, BIN, Outcome

SERVED, MISSED = "#7fbf8e", "#d9534f"
MARKS = {
    "fault": ("|", "#000000"),
    "cause gone": ("d", "#1f5fa8"),
    "healed": ("^", "#1f5fa8"),
    "address moved": ("v", "#d17c00"),
    "VRRP master changed": (".", "#5b2c83"),
}
_ROW_INCHES = 0.3
_SETTINGS: Any = {
    "svg.hashsalt": "portway",
    "svg.fonttype": "none",  # text stays text: small, and found by a search
    "font.family": "sans-serif",
    "font.size": 8,
}


def draw(outcomes: Sequence[Outcome], file: Path) -> None:
    """Draw the outcomes into a file; its name's ending says the format."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and only for this

    with mpl.rc_context(_SETTINGS):
        height = 1.1 + _ROW_INCHES * max(1, len(outcomes))
        figure = Figure(figsize=(9, height), layout="constrained")
        axes = figure.subplots()
        for number, outcome in enumerate(outcomes):
            _draw_row(axes, len(outcomes) - 1 - number, outcome)
        _label(axes, outcomes)
        file.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if file.suffix == ".svg" else None
        figure.savefig(file, metadata=metadata, dpi=110)


def _draw_row(axes: Any, y: float, outcome: Outcome) -> None:
    for start, end, share in _runs(outcome.served):
        x, width = start * BIN - BEFORE, (end - start) * BIN
        if share > 0:
            axes.barh(y - 0.38 + 0.38 * share, width, 0.76 * share, x, color=SERVED)
        if share < 1:
            missed = 1 - share
            middle = y + 0.38 - 0.38 * missed
            axes.barh(middle, width, 0.76 * missed, x, color=MISSED)
    for mark, times in _marks(outcome).items():
        symbol, colour = MARKS[mark]
        inside = [t for t in times if -BEFORE <= t <= AFTER]
        if mark == "fault":
            axes.plot([0, 0], [y - 0.45, y + 0.45], color=colour, linewidth=1.2)
        elif inside:
            offset = {"v": 0.3, "^": -0.3}.get(symbol, 0.0)
            axes.plot(
                inside,
                [y + offset] * len(inside),
                symbol,
                color=colour,
                markersize=5.5,
                markeredgecolor="white",
                markeredgewidth=0.4,
            )


def _runs(served: Sequence[float]) -> list[tuple[int, int, float]]:
    """Bins that follow each other with the same share, as one: (start, end, share)."""
    runs: list[tuple[int, int, float]] = []
    for number, share in enumerate(served):
        if runs and runs[-1][2] == share:
            runs[-1] = (runs[-1][0], number + 1, share)
        else:
            runs.append((number, number + 1, share))
    return runs


def _marks(outcome: Outcome) -> dict[str, list[float]]:
    """When what is marked was, in seconds from the injection."""
    times = outcome.times
    marked = {
        "fault": [times.injected],
        "cause gone": [times.gone] if times.gone < times.healed else [],
        "healed": [times.healed],
        "address moved": [move.at for move in outcome.moves],
        "VRRP master changed": [at for at, _ in outcome.masters[1:]],
    }
    return {
        mark: [moment - times.injected for moment in moments]
        for mark, moments in marked.items()
    }


def _label(axes: Any, outcomes: Sequence[Outcome]) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415
    from matplotlib.patches import Patch  # noqa: PLC0415

    kinds = {outcome.kind for outcome in outcomes}
    names = [o.name if len(kinds) < 2 else f"{o.name} ({o.kind})" for o in outcomes]
    axes.set_yticks(range(len(names)), names[::-1])
    for tick, outcome in zip(axes.get_yticklabels()[::-1], outcomes, strict=True):
        tick.set_color("black" if outcome.passed else MISSED)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, max(1, len(names)) - 0.4)
    axes.set_xlim(-BEFORE, AFTER)
    axes.set_xlabel("seconds from the fault")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    handles: list[Any] = [
        Patch(color=SERVED, label="clients served"),
        Patch(color=MISSED, label="clients waiting"),
    ]
    for label, (symbol, colour) in MARKS.items():
        handles.append(Line2D([], [], marker=symbol, color=colour, lw=0, label=label))
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False
    )
