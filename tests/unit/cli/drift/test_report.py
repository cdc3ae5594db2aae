"""What a look prints: for people, programs, CI and Prometheus."""

import json
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from pydantic import TypeAdapter

from portway.cli.drift.report import FORMS, METRICS, schema
from portway.run.look import Finding, Look, Note

EDITED = Finding(
    node="lb-1",
    kind="file",
    thing="/etc/haproxy/haproxy.cfg",
    what="content differs",
    diff=("-by [hand]", "+as wanted"),
    since=1_700_000_000,
    moved="world",
    mended_by_a_run=True,
)
ELSEWHERE = replace(
    EDITED, node="", kind="address", diff=(), since=None, mended_by_a_run=False
)
LOOK = Look(
    stack="portway",
    deploys=("deploys/site.py",),
    looked_at=1_700_000_100,
    seconds=2.5,
    findings=(ELSEWHERE, EDITED),
    states=(Note("lb-2", "has handed the address over on purpose"),),
    unknown=(Note("app-1", "cannot be looked at"),),
)
CLEAN = replace(LOOK, findings=(), states=(), unknown=())


def printed(
    form: str, look: Look, capsys: pytest.CaptureFixture[str], *, diff: bool = True
) -> str:
    FORMS[form](look, diff)
    return capsys.readouterr().out


@pytest.mark.parametrize("look", [LOOK, CLEAN])
def test_json_is_what_the_schema_says(
    capsys: pytest.CaptureFixture[str], look: Look
) -> None:
    text = printed("json", look, capsys)
    assert TypeAdapter(Look).validate_json(text) == look
    jsonschema.Draft202012Validator.check_schema(json.loads(schema()))
    jsonschema.validate(json.loads(text), json.loads(schema()))


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("", {"extra": 1}, "Additional properties are not allowed"),
        ("findings", {"moved": "someone"}, "is not one of ['you', 'world', 'unknown']"),
        ("findings", {"also": "x"}, "Additional properties are not allowed"),
        ("findings", {"since": "yesterday"}, "is not valid under any"),
        ("states", {"text": 1}, "is not of type 'string'"),
        ("unknown", {"node": None}, "is not of type 'string'"),
    ],
)
def test_schema_refuses_what_no_look_prints(
    capsys: pytest.CaptureFixture[str], part: str, change: dict[str, Any], said: str
) -> None:
    document = json.loads(printed("json", LOOK, capsys))
    place = document[part][0] if part else document
    place.update(change)
    with pytest.raises(jsonschema.ValidationError, match=re.escape(said)):
        jsonschema.validate(document, json.loads(schema()))


def test_schema_asks_for_everything(capsys: pytest.CaptureFixture[str]) -> None:
    for key in json.loads(printed("json", LOOK, capsys)):
        document = json.loads(printed("json", LOOK, capsys))
        del document[key]
        with pytest.raises(jsonschema.ValidationError, match="is a required property"):
            jsonschema.validate(document, json.loads(schema()))


def test_table_has_diffs_states_and_what_is_unknown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = printed("table", LOOK, capsys)
    assert "-by [hand]" in text
    assert "11-14 22:13:20" in text
    assert "state: lb-2: has handed the address over" in text
    assert "unknown: app-1: cannot be looked at" in text
    assert "2 drifts, and 1 thing could not be found out" in text
    assert "by [hand]" not in printed("table", LOOK, capsys, diff=False)
    assert printed("table", CLEAN, capsys) == "no drift; portway, 2.5 s\n"


def test_junit_counts_failures_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    suite = ElementTree.fromstring(printed("junit", LOOK, capsys))
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    assert suite.get("errors") == "1"
    assert len(suite.findall("testcase/failure")) == 2
    assert len(suite.findall("testcase/error")) == 1
    clean = ElementTree.fromstring(printed("junit", CLEAN, capsys))
    assert (clean.get("tests"), clean.get("failures")) == ("1", "0")


def test_prometheus_has_each_metric_with_help_and_the_time_of_the_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed("prometheus", LOOK, capsys).splitlines()
    assert (
        'portway_drift{stack="portway",node="lb-1",kind="file",moved="world"} 1'
        in lines
    )
    assert 'portway_drift_unknown{stack="portway"} 1' in lines
    looked = 'portway_drift_last_look_timestamp_seconds{stack="portway"} 1700000100'
    assert looked in lines
    for name in METRICS:
        assert any(line.startswith(f"# HELP {name} ") for line in lines)
    clean = printed("prometheus", CLEAN, capsys).splitlines()
    assert 'portway_drift{stack="portway"} 0' in clean


def test_junit_is_xml_whatever_a_file_contains(
    capsys: pytest.CaptureFixture[str],
) -> None:
    odd = replace(EDITED, diff=("-\x1b[1m\x00 \U0001f600",))
    text = printed("junit", replace(LOOK, findings=(odd,)), capsys)
    failure = ElementTree.fromstring(text).find(".//failure")
    assert failure is not None
    assert failure.text is not None
    assert failure.text.startswith("-?[1m? \U0001f600")
