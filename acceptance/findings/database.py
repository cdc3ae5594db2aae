"""What RDS says of a database."""

from collections.abc import Mapping

from acceptance.findings.verdict import Observer, Seen, Verdict, judged
from acceptance.parts.view import View


def _young_database(view: View) -> Seen:
    young = [d for d in view.databases if d["status"] == "creating"]
    if not young:
        return Verdict.UNCLEAR, f"never seen while it was created: {view.databases}"
    return judged(not young[0]["endpoint"], f"one after the other: {view.databases}")


def _master_user(view: View) -> Seen:
    text = view.notes.get("rotation", "")
    return judged(
        view.notes.get("rotated") == "yes", f"postgres, by a rotation: {text}"
    )


OBSERVERS: Mapping[str, Observer] = {
    "young-database": _young_database,
    "master-user": _master_user,
}
