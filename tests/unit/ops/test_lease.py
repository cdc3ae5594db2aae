"""The lease's scripts, run by a real shell on this machine."""

import shlex
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portway.model.deployed import Checkout, Deployed
from portway.model.runs import read_report
from portway.model.suspension import Suspension
from portway.ops import lease
from portway.ops.lease import Answer, Holder, Lease
from portway.ops.operations import contents, write_script
from portway.render.files import ManagedFile


def run(script: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script], input=stdin, capture_output=True, text=True, check=False
    )


def ask(script: str) -> Answer:
    result = run(script)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return lease.parse(result.stdout.splitlines())


def of(who: str, seconds: int = 60) -> Lease:
    return Lease(f"{who}@host (process 1)", "deploys/lb.py --limit lb-1", seconds)


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the lease of this test is."""
    monkeypatch.setattr(lease, "LEASE", tmp_path / "run" / "lease")
    monkeypatch.setattr(lease, "DEPLOYED", tmp_path / "lib" / "deployed.json")
    monkeypatch.setattr(lease, "RUNS", tmp_path / "lib" / "runs")
    monkeypatch.setattr(lease, "WISHED", tmp_path / "lib" / "wished")
    return tmp_path / "run" / "lease"


def test_free_lease_is_taken_and_the_next_is_told_by_whom() -> None:
    assert ask(lease.take_script(of("anna"))) == Answer(True, None, "")
    answer = ask(lease.take_script(of("bob")))
    assert not answer.taken
    assert answer.holder is not None
    assert 58 <= answer.holder.left <= 60
    text = str(answer.holder)
    assert text.startswith(
        "anna@host (process 1) runs deploys/lb.py --limit lb-1 since"
    )
    assert ask(lease.look_script()).holder is not None


def test_own_lease_is_taken_again() -> None:
    mine = of("anna")
    assert ask(lease.take_script(mine)).taken
    assert ask(lease.take_script(mine)).taken


def test_looking_leaves_nothing_behind(place: Path) -> None:
    assert ask(lease.look_script()) == Answer(False, None, "")
    assert not place.parent.exists()


def test_expired_lease_is_taken_and_then_lost() -> None:
    dead, heir = of("anna", seconds=0), of("bob")
    assert ask(lease.take_script(dead)).taken
    assert run(lease.renew_script(dead)).stdout == "renewed\n", "nobody else took it"
    assert ask(lease.take_script(heir)).taken
    assert run(lease.renew_script(dead)).stdout == "lost\n"
    run(lease.release_script(dead, records=False))
    assert run(lease.renew_script(heir)).stdout == "renewed\n"


def test_renewing_moves_the_end() -> None:
    mine = of("anna", seconds=0)
    ask(lease.take_script(mine))
    longer = replace(mine, seconds=60)
    assert run(lease.renew_script(longer)).stdout == "renewed\n"
    holder = ask(lease.look_script()).holder
    assert holder is not None
    assert holder.left >= 58


def test_lease_that_is_gone_is_lost(place: Path) -> None:
    mine = of("anna")
    ask(lease.take_script(mine))
    place.unlink()  # as a reboot does
    assert run(lease.renew_script(mine)).stdout == "lost\n"


def test_release_frees_the_node_and_keeps_the_record() -> None:
    mine = of("anna")
    ask(lease.take_script(mine))
    assert (
        run(lease.release_script(mine, records=True), '{"a": 1}\n{}\n').returncode == 0
    )
    assert ask(lease.take_script(of("bob"))) == Answer(True, None, '{"a": 1}')


def test_record_is_not_written_by_a_run_that_lost_the_node() -> None:
    mine = of("anna", seconds=0)
    ask(lease.take_script(mine))
    ask(lease.take_script(of("bob")))
    run(lease.release_script(mine, records=True), '{"a": 1}\n{}\n')
    assert ask(lease.look_script()).deployed == ""


def runs(place: Path) -> list[str]:
    """The runs that the node remembers, a line for each."""
    return (place.parent.parent / "lib" / "runs").read_text().splitlines()


def test_node_remembers_its_last_runs_and_no_more(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "KEPT", 3)
    for number in range(5):
        mine = of("anna")
        ask(lease.take_script(mine))
        run(
            lease.release_script(mine, records=True), f'{{"a": 1}}\n{{"n": {number}}}\n'
        )
    assert runs(place) == ['{"n": 2}', '{"n": 3}', '{"n": 4}']


def test_run_that_deployed_nothing_leaves_its_report_and_the_record(
    place: Path,
) -> None:
    mine = of("anna")
    ask(lease.take_script(mine))
    run(lease.release_script(mine, records=True), '{"a": 1}\n{"n": 0}\n')
    ask(lease.take_script(mine))
    run(lease.release_script(mine, records=True), '\n{"n": 1}\n')
    assert ask(lease.look_script()).deployed == '{"a": 1}'
    assert runs(place) == ['{"n": 0}', '{"n": 1}']


def test_record_report_and_what_was_wanted_do_not_mix(place: Path) -> None:
    mine = of("anna")
    ask(lease.take_script(mine))
    run(lease.release_script(mine, records=True), '{"a": 1}\n{"n": 0}\nlb {"w": 2}\n')
    assert ask(lease.look_script()).deployed == '{"a": 1}'
    assert runs(place) == ['{"n": 0}']
    wished = place.parent.parent / "lib" / "wished"
    assert (wished / "lb").read_text() == '{"w": 2}\n'


def test_run_that_was_never_heard_of_again_is_remembered_by_the_next(
    place: Path,
) -> None:
    record = Deployed(
        Checkout("0.4.0"), "a", "b", "deploys/lb.py", "anna", 1, succeeded=False
    )
    ask(lease.take_script(dying(record.to_json())))
    ask(lease.take_script(of("bob")))
    (line,) = runs(place)
    found = read_report(line)
    assert found is not None
    assert (found.who, found.what) == ("anna", "deploys/lb.py")
    assert found.result == "broken off"
    assert found.checkout == Checkout("0.4.0")
    assert abs(found.began - time.time()) < 60


def dying(record: str) -> Lease:
    """The lease of a run that dies at once."""
    return Lease("anna", "deploys/lb.py", 0, record)


def test_run_that_died_is_recorded_by_the_next() -> None:
    ask(lease.take_script(dying('{"a": "it\'s"}')))
    assert ask(lease.look_script()).deployed == ""
    assert ask(lease.take_script(of("bob"))) == Answer(True, None, '{"a": "it\'s"}')


def test_run_that_died_and_configures_nothing_leaves_the_record() -> None:
    mine = of("anna")
    ask(lease.take_script(mine))
    run(lease.release_script(mine, records=True), '{"a": 1}\n{}\n')
    ask(lease.take_script(dying("")))
    assert ask(lease.take_script(of("bob"))).deployed == '{"a": 1}'


def test_run_that_ended_is_not_recorded_as_dead() -> None:
    mine = Lease("anna", "deploys/lb.py", 60, '{"a": 1}')
    ask(lease.take_script(mine))
    ask(lease.take_script(mine))
    run(lease.release_script(mine, records=False))
    assert ask(lease.take_script(of("bob"))).deployed == ""


def test_fence_lets_a_change_pass_only_while_the_node_is_ours(tmp_path: Path) -> None:
    mine, changed = of("anna", seconds=0), tmp_path / "changed"
    script = lease.fenced(mine, "lb-1", f"cat >{changed}")
    ask(lease.take_script(mine))
    assert run(script, "content").returncode == 0
    assert changed.read_text() == "content"
    changed.unlink()
    ask(lease.take_script(of("bob")))
    result = run(script, "content")
    assert result.returncode == 1
    assert not changed.exists()
    assert "may not change lb-1 any more" in result.stderr
    assert "bob@host" in result.stderr


def test_fence_stands_before_each_of_several_files(tmp_path: Path, place: Path) -> None:
    """A machine that sleeps in the middle may wake when another run has the node."""
    mine, taken = of("anna"), shlex.quote("id of-bob\n")
    rob = ("sh", "-c", f"printf {taken} >{place}")
    files = [
        ManagedFile(str(tmp_path / name), "new\n", owner=owner, group=group, validate=v)
        for name, v in (("first", ()), ("second", rob), ("third", ()))
        for owner, group in [("root", "root")]
    ]
    ask(lease.take_script(mine))
    result = run(lease.fenced(mine, "lb-1", write_script(*files)), contents(files))
    assert result.returncode == 1
    assert "may not change lb-1 any more" in result.stderr
    assert (tmp_path / "first").exists()
    assert not (tmp_path / "second").exists()
    assert not (tmp_path / "third").exists()


def test_refusal_reads_what_is_still_on_its_way(tmp_path: Path) -> None:
    """A connection that breaks under the sender would take the reason with it."""
    process = subprocess.Popen(
        ["sh", "-c", lease.fenced(of("anna"), "lb-1", "true")],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.write(b"x" * 300_000)  # more than a pipe holds
    _, said = process.communicate()
    assert b"may not change lb-1 any more" in said
    assert process.returncode == 1


def test_one_of_many_at_once_gets_it() -> None:
    with ThreadPoolExecutor(16) as pool:
        scripts = [lease.take_script(of(f"user{n}")) for n in range(16)]
        answers = list(pool.map(ask, scripts))
    assert [answer.taken for answer in answers].count(True) == 1


@settings(max_examples=20)
@given(st.binary(max_size=60))
def test_file_that_no_run_wrote_keeps_nobody_out(place: Path, content: bytes) -> None:
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(content)
    assert ask(lease.take_script(of("anna"))).taken


def test_node_says_who_has_suspended_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "suspended.json"
    monkeypatch.setattr(lease, "SUSPENDED", file)
    suspension = Suspension("it's \\ 100 % a test: $(id)", "anna", 1_800_000_000.0)
    file.write_text(suspension.to_json())
    assert ask(lease.look_script()).suspended == suspension
    assert ask(lease.take_script(of("anna"))).suspended == suspension
    file.write_text("damaged")
    answer = ask(lease.look_script())
    assert "its file is damaged" in str(answer.suspended)
    file.unlink()
    assert ask(lease.look_script()).suspended is None


@settings(max_examples=20)
@given(st.text(max_size=80).filter(str.isprintable))
def test_names_cannot_break_out_of_the_script(who: str) -> None:
    mine = Lease(who, "deploys/lb.py", 60)
    result = run(lease.take_script(mine))
    assert result.returncode == 0, result.stderr
    run(lease.release_script(mine, records=False))


def test_notice_of_a_login_shell_is_no_answer() -> None:
    assert lease.parse(["held up by nobody"]) == Answer(False, None, "")
    lines = ["Welcome to lb-1!", "held a 70 10", "since 0", "who anna", "what site", ""]
    assert lease.parse(lines).holder == Holder("a", 70, 10, 0, "anna", "site")
    assert lease.parse(["Welcome!", "taken"]) == Answer(True, None, "")
