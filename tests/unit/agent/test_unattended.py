"""An unattended run: which release it takes, and when it goes back to the last one.

The releases are small programs, in a folder of releases like a node's.
"""

import itertools
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from portway.agent import leaving
from portway.agent import store as store_module
from portway.agent.memory import MOST_SECONDS, RETRY_AT_MOST, Files, Memory
from portway.agent.store import Store
from portway.agent.unattended import PATIENCE, Starter, Unattended
from portway.application.doors import FORGET
from portway.aws.looking import LookError, Places
from portway.contract.paths import DEPLOYED, OUT_OF_SERVICE, RUNS
from portway.errors import PortwayError
from portway.model.published import Published
from portway.model.pulled import SERVED
from portway.model.runs import RunReport
from portway.model.suspension import Suspension
from tests.lab.system import wait_until

INTERVAL = 300.0
PLACES = Places("one", "eu-central-1", "https://ssm", "https://ec2", "i-1", "role")
PROGRAM = """#!/bin/sh
[ "$1 $2" = "agent run" ] || exit 0
echo "{name} $*$PORTWAY_GOES_BACK" >>{log}
mkdir -p {marks} {deployed.parent}
[ {what} = fails ] || echo {name} >{deployed}
[ ! -e {log}.report ] || cat {log}.report >>{runs}
case {what} in
    serves) touch {marks}/served ;;
    serves-some) touch {marks}/served; exit 1 ;;
    fails) exit 1 ;;
    harms) touch {marks}/did-not-serve; exit 1 ;;
    dies) kill -9 $$ ;;
esac
"""
"""What a release does when it is run: all clients are served, or some of them were not
before either; nothing is changed; clients are served no more; it is killed."""


@dataclass
class Node:
    """A node with releases, and a timer that is the test."""

    root: Path
    now: float = 1_800_000_000.0
    published: Published | PortwayError | None = None
    told: list[str] = field(default_factory=list)
    seen: str | LookError = "what a look sees"
    interval: float = INTERVAL
    looks: int = 0
    role: str = "load-balancer"

    def __post_init__(self) -> None:
        self.store = Store(self.root / "portway")
        self.files = Files(self.root / "agent")
        self.log = self.root / "log"
        self.marks = self.root / SERVED.parent.relative_to("/")
        self.deployed = self.root / DEPLOYED.relative_to("/")
        self.start = Starter()

    def release(self, name: str, what: str) -> str:
        """Have a release here, which does this when it is run."""
        for program in ("portway", "pyinfra"):
            file = self.store.folder(name) / "bin" / program
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(
                PROGRAM.format(
                    name=name,
                    log=self.log,
                    marks=self.marks,
                    deployed=self.deployed,
                    runs=self.root / RUNS.relative_to("/"),
                    what=what,
                )
            )
            file.chmod(0o755)
        (self.store.folder(name) / "project").mkdir(exist_ok=True)
        return name

    def publish(self, name: str) -> None:
        self.published = Published("bucket", f"{name}.tar", "0" * 64)

    def turn(self, after: float = INTERVAL) -> int:
        self.now += after
        self.told.clear()

        def published(region: str, stack: str) -> Published | None:
            if isinstance(self.published, PortwayError):
                raise self.published
            return self.published

        return (
            Unattended(
                "eu-central-1",
                "one",
                "inventories/prod.py",
                self.interval,
                self.role,
                store=self.store,
                files=self.files,
                root=self.root,
                tell=self.told.append,
                clock=lambda: self.now,
                published=published,
                find_places=lambda *_: PLACES,
                look=self.look,
                is_leaving=lambda _: False,
                start=self.start,
            )
            .turn()
            .status
        )

    def look(self, places: Places) -> str:
        assert places == PLACES
        self.looks += 1
        if isinstance(self.seen, LookError):
            raise self.seen
        return self.seen

    def ran(self) -> list[str]:
        """What was run since somebody asked."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    @property
    def memory(self) -> Memory:
        return self.files.memory()


def run_of(name: str, *data: str) -> str:
    return " ".join((name, "agent run inventories/prod.py", *data))


BACK = ("--data", "go_back=true")
RESTORES = ("--data", "go_back=trueyes")
"""Of a run that is told that it goes back from what the node does not serve with."""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node that has served with the release portway-1."""
    found = Node(tmp_path)
    found.publish(found.release("portway-1", "serves"))
    assert found.turn() == 0
    assert found.ran() == [run_of("portway-1", *BACK)]
    assert found.memory.served == found.store.current == "portway-1"
    return found


def test_run_is_made_when_it_is_time(node: Node) -> None:
    assert node.turn(after=60) == 0
    assert node.ran() == []
    assert node.turn(after=INTERVAL - 60) == 0
    assert node.ran() == [run_of("portway-1")]


def test_run_is_made_when_something_has_changed_in_aws(node: Node) -> None:
    node.seen = "another node"
    node.looks = 0
    assert node.turn(after=60) == 0
    assert node.looks == 1, "for the turn and its run"
    assert node.ran() == [run_of("portway-1")]
    assert node.turn(after=60) == 0
    assert node.ran() == [], "only once"
    node.interval = 1800
    assert node.turn(after=RETRY_AT_MOST - 60) == 0
    assert node.ran() == [run_of("portway-1")], "AWS may have told half of it before"
    assert node.turn(after=RETRY_AT_MOST) == 0
    assert node.ran() == []


@pytest.mark.parametrize("what", ["fails", "serves"])
def test_what_a_killed_turn_saw_is_seen_again(
    node: Node, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.seen = "another release"
    node.publish(node.release("portway-2", what))
    with monkeypatch.context() as patch:
        patch.setattr(Unattended, "_run", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            node.turn(after=60)
    assert node.ran() == []
    node.turn(after=60)
    assert node.ran() == [run_of("portway-2", *BACK)]


def test_look_without_an_answer_is_told_and_delays_no_run(node: Node) -> None:
    node.seen = LookError("curl: (28) Connection timed out")
    with pytest.raises(LookError, match=r"anything has changed: curl: \(28\)"):
        node.turn(after=60)
    assert node.ran() == []
    assert node.turn(after=INTERVAL - 60) == 0
    assert node.ran() == [run_of("portway-1")]
    assert "not known what may change in AWS from now on" in " ".join(node.told)
    assert node.memory.seen == "what a look sees", "it may have changed since then"
    node.seen = "what a look sees"
    assert node.turn(after=60) == 0
    assert node.ran() == []


def test_first_run_that_sees_nothing_is_followed_by_another(tmp_path: Path) -> None:
    node = Node(tmp_path, seen=LookError("curl: (28) Connection timed out"))
    node.publish(node.release("portway-1", "serves"))
    assert node.turn() == 0
    assert Places(**node.memory.places) == PLACES
    assert all(node.memory.places.values()), "releases of before know no others"
    assert node.memory.seen == ""
    node.seen = "what a look sees"
    assert node.turn(after=60) == 0
    assert len(node.ran()) == 2


def test_published_release_is_taken_and_may_be_an_older_one(node: Node) -> None:
    node.publish(node.release("portway-0", "serves"))
    assert node.turn() == 0
    assert node.ran() == [run_of("portway-0", *BACK)]
    assert node.turn() == 0
    assert node.ran() == [run_of("portway-0")], "only until it has served once"


def test_node_that_does_not_serve_with_it_goes_back(node: Node) -> None:
    node.publish(node.release("portway-2", "harms"))
    assert node.turn() == 0, "with the one before it serves"
    assert node.ran() == [run_of("portway-2", *BACK), run_of("portway-1", *RESTORES)]
    assert node.store.current == node.memory.served == "portway-1"
    assert "this node goes back to portway-1" in node.told
    refusal = node.memory.refusal
    assert refusal is not None
    assert (refusal.release, refusal.until) == ("portway-2", None)
    assert refusal.why == "this node did not serve with it"

    for _ in range(3):
        assert node.turn(after=10 * INTERVAL) == 0
        (ran,) = node.ran()
        assert ran.startswith("portway-1 "), "it is not tried again …"
    node.files.resume()
    assert node.turn() == 0
    assert node.ran()[0] == run_of("portway-2", *BACK), "… until somebody says so"

    node.publish(node.release("portway-3", "serves"))
    assert node.turn() == 0
    assert node.ran() == [run_of("portway-3", *BACK)]
    assert node.memory.refusal is None


@pytest.mark.parametrize("what", ["fails", "dies"])
def test_release_that_has_harmed_nothing_stays(node: Node, what: str) -> None:
    """It waits for the other load balancer, or AWS does not answer, or was killed."""
    node.publish(node.release("portway-2", what))
    assert node.turn() != 0
    assert node.ran() == [run_of("portway-2", *BACK)]
    assert node.store.current == "portway-2"
    node.release("portway-2", "serves")
    assert node.turn(after=60) == 0, "after a failure, the next one comes soon"
    assert node.ran() == [run_of("portway-2", *BACK)]
    assert (node.memory.served, node.memory.failures) == ("portway-2", 0)


def test_release_that_serves_stays_though_its_runs_fail(node: Node) -> None:
    """A client had no node before either: no reason to do and undo it for ever."""
    node.publish(node.release("portway-2", "serves-some"))
    for number in range(3 * PATIENCE):
        assert node.turn() == 1
        assert node.ran() == [run_of("portway-2", *(BACK if number == 0 else ()))]
    assert node.store.current == node.memory.served == "portway-2"
    assert node.memory.refusal is None
    assert node.memory.succeeded < node.memory.ran


def test_what_people_deploy_meanwhile_is_not_taken_back(node: Node) -> None:
    node.publish(node.release("portway-2", "fails"))
    assert node.turn() == 1
    assert node.ran() == [run_of("portway-2", *BACK)]
    node.deployed.write_text("by Anna, from a newer checkout")
    assert node.turn() == 1
    assert node.ran() == [run_of("portway-2")]


def test_mark_of_an_earlier_run_is_no_evidence(node: Node) -> None:
    node.marks.mkdir(parents=True, exist_ok=True)
    for mark in ("served", "did-not-serve"):
        (node.marks / mark).touch()
    node.publish(node.release("portway-2", "fails"))
    assert node.turn() == 1
    assert node.store.current == "portway-2"
    assert node.memory.served == "portway-1"


def test_stopped_run_is_followed_by_no_other(node: Node) -> None:
    node.publish(node.release("portway-2", "harms"))
    node.start.stopped = True
    assert node.turn() == 1
    assert node.ran() == [run_of("portway-2", *BACK)]


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_no_release_is_taken_while_nothing_can_be_kept(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.publish(node.release("portway-2", "harms"))
    node.files.resume()
    monkeypatch.setattr(Files, "keep", full)
    for _ in range(2):
        assert node.turn() == 0
        assert node.ran() == [run_of("portway-1")]
    assert any("stays: [Errno 28] No space" in line for line in node.told)


def test_full_disk_keeps_nobody_from_going_back(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Files.keep

    def until_taken(files: Files, memory: Memory) -> None:
        if node.store.current == "portway-2":
            full()
        keep(files, memory)

    node.publish(node.release("portway-2", "harms"))
    monkeypatch.setattr(Files, "keep", until_taken)
    assert node.turn() == 0
    assert [line.split()[0] for line in node.ran()] == ["portway-2", "portway-1"]
    assert node.store.current == "portway-1"
    assert any("No space left" in line for line in node.told)


def test_refusal_ends_when_another_release_is_published(node: Node) -> None:
    node.publish(node.release("portway-2", "harms"))
    assert node.turn() == 0
    node.publish("portway-1")
    assert node.turn() == 0
    assert node.memory.refusal is None


def test_release_that_never_succeeds_gives_way_for_a_while(node: Node) -> None:
    """Somebody must mend what drifts meanwhile."""
    node.publish(node.release("portway-2", "fails"))
    for _ in range(PATIENCE - 1):
        assert node.turn() == 1
        assert node.store.current == "portway-2"
    assert node.turn() == 0
    assert [line.split()[0] for line in node.ran()][-2:] == ["portway-2", "portway-1"]
    assert node.memory.refusal is not None
    assert "5 runs with it have failed" in node.memory.refusal.why

    assert node.turn() == 0
    assert node.ran() == [run_of("portway-1")]
    node.release("portway-2", "serves")
    assert node.turn(after=MOST_SECONDS) == 0
    assert node.ran() == [run_of("portway-2", *BACK)]
    assert node.memory.refusal is None


def test_release_that_has_served_is_not_to_blame(node: Node) -> None:
    node.release("portway-1", "harms")
    assert node.turn() == 1
    assert node.ran() == [run_of("portway-1")]
    assert node.memory.failures == 1
    assert node.memory.refusal is None


def test_first_release_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.publish(node.release("portway-1", "harms"))
    assert node.turn() == 1
    assert node.ran() == [run_of("portway-1", *BACK)]
    assert node.memory.refusal is None


def test_going_back_that_was_interrupted_is_finished(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.publish(node.release("portway-2", "harms"))
    with monkeypatch.context() as patch:
        patch.setattr(Store, "choose", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            node.turn()
    assert node.store.current == "portway-2"
    node.ran()
    node.published = PortwayError("AWS does not answer")
    assert node.turn() == 0
    assert node.ran() == [run_of("portway-1", *RESTORES)]


def test_release_that_cannot_be_taken_is_tried_less_and_less_often(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def fetch(*_: object) -> None:
        tried.append(node.now)
        raise PortwayError("release portway-2.tar: S3 does not answer")

    monkeypatch.setattr(store_module, "fetch", fetch)
    node.publish("portway-2")
    for _ in range(120):
        assert node.turn(after=60) == 0
    assert set(node.ran()) == {run_of("portway-1")}, "what is there goes on"
    assert node.store.current == "portway-1"
    gaps = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert gaps[0] <= INTERVAL
    assert gaps[-1] >= 1800
    assert len(gaps) <= 7
    assert gaps == sorted(gaps)
    assert "S3 does not answer" in str(node.memory.refusal)


def test_release_that_cannot_start_leaves_the_one_before(node: Node) -> None:
    name = node.release("portway-2", "serves")
    (node.store.folder(name) / "bin" / "portway").write_text("#!/bin/sh\nexit 1\n")
    node.publish(name)
    assert node.turn() == 0
    assert node.ran() == [run_of("portway-1")]
    assert "cannot start" in str(node.memory.refusal)


def test_one_that_served_is_kept_for_going_back(node: Node) -> None:
    for number in range(2, 7):
        node.publish(node.release(f"portway-{number}", "fails"))
        assert node.turn() == 1
    assert node.store.has("portway-1")
    node.publish(node.release("portway-9", "harms"))
    assert node.turn() == 0
    assert node.store.current == "portway-1"


def test_suspended_node_stays_as_it_is_and_says_why(node: Node) -> None:
    node.publish(node.release("portway-2", "serves"))
    node.files.suspend(Suspension("kernel tests", "anna", node.now))
    assert node.turn() == 0
    assert node.ran() == []
    assert node.store.current == "portway-1"
    assert any("by anna" in line and "kernel tests" in line for line in node.told)
    node.files.resume()
    assert node.turn(after=0) == 0
    assert node.ran() == [run_of("portway-2", *BACK)]


def test_second_one_at_the_same_time_does_nothing(node: Node) -> None:
    with node.files.alone():
        assert node.turn() == 0
    assert node.ran() == []
    assert node.told == ["another one is running"]


def test_aws_that_does_not_answer_stops_no_run(node: Node) -> None:
    node.published = PortwayError("AWS does not answer")
    assert node.turn() == 0
    assert node.ran() == [run_of("portway-1")]
    assert "the current release stays: AWS does not answer" in node.told


def test_without_any_release_it_says_what_to_publish(tmp_path: Path) -> None:
    with pytest.raises(PortwayError, match="portway release publish"):
        Node(tmp_path).turn()


PARENT = """
import sys
from pathlib import Path
from portway.agent.unattended import Starter
start = Starter()
status = start(Path(sys.argv[1]), ["portway", "agent", "run"], {})
sys.exit(status if start.stopped else 0)
"""


def test_run_is_told_of_sigterm(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "portway"
    program.parent.mkdir()
    (tmp_path / "project").mkdir()
    ready, ended = tmp_path / "ready", tmp_path / "ended"
    program.write_text(
        f"#!/bin/sh\ntrap 'echo >{ended}; exit 143' TERM\necho >{ready}\n"
        "for _ in $(seq 200); do sleep 0.1; done\n"
    )
    program.chmod(0o755)
    process = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])
    try:
        wait_until(ready.exists, 20, "the run has begun")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
    finally:
        process.kill()
        process.wait()
    assert ended.exists()


def test_changes_are_counted_by_what_they_were_for(node: Node) -> None:
    """What nobody wanted to be another was repaired."""
    report = node.log.with_name("log.report")

    def reports(change: str, began: float = 0.0) -> None:
        found = RunReport("a", "lb.py", int(began or node.now), 0, "succeeded", None)
        found = replace(found, changes=(change,))
        report.write_text(found.to_json() + "\n")

    reports("Install it", node.now + INTERVAL)
    node.turn()
    assert node.memory.repaired == {"Install it": 1}
    node.turn()
    assert node.memory.repaired == {"Install it": 1}, "another run's report"
    node.seen = "something else"
    reports("Write it", node.now + 60)
    node.turn(60)
    node.publish(node.release("portway-2", "serves"))
    reports("Write it", node.now + INTERVAL)
    node.turn()
    assert node.memory.repaired == {"Install it": 1}
    assert node.memory.changed == {"Write it": 2}
    report.write_text("something\n")
    node.turn()
    assert node.memory.changed == {"Write it": 2}


@pytest.mark.parametrize(
    ("what", "mark", "is_let_in"),
    [("fails", "", True), ("fails", "changing\n", False), ("serves", "", False)],
)
def test_node_that_a_run_left_out_as_it_was_comes_back(
    node: Node, monkeypatch: pytest.MonkeyPatch, what: str, mark: str, is_let_in: bool
) -> None:
    """What has begun to change it stays out until a run has seen that it serves."""
    scripts: list[str] = []
    monkeypatch.setattr(leaving, "_run", lambda script, _: scripts.append(script))
    file = node.root / OUT_OF_SERVICE.relative_to("/")
    node.publish(node.release("portway-2", what))
    node.role = "application"
    assert node.turn() == (what == "fails")
    assert scripts == [], "it is not out"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(mark)
    node.turn()
    assert scripts == ([FORGET] if is_let_in else [])
    assert any("let in again" in line for line in node.told) is is_let_in
