"""When the address mover looks, when it claims, and when it must not."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from portway.contract.address import AddressKind, AddressObject, Call, move_calls
from portway.contract.mover import MoverConfig
from portway.node.address import keepalived, report
from portway.node.address.ec2 import Ec2Error, Failure
from portway.node.address.keepalived import State
from portway.node.address.memory import Memory
from portway.node.address.mover import LONGEST_RETRY, Mover
from portway.node.address.standing import is_handed_over

CONFIG = MoverConfig(
    stack="messages",
    node="lb-1",
    peer="lb-2",
    kind=AddressKind.ROUTE,
    address="10.255.0.1",
    objects=("rtb-1", "rtb-2"),
    region="us-east-1",
    interface_id="eni-1",
    peer_interface_id="eni-2",
    reclaim_priority=151,
)


@dataclass
class FakeCloud:
    """Two route tables, and every call in order."""

    holders: list[str | None] = field(default_factory=lambda: ["eni-2", "eni-2"])
    calls: list[str] = field(default_factory=list)
    failure: Failure | None = None
    slow: int = 0
    """How many looks a claim takes to show."""
    refuses: str = ""
    broken: str = ""
    """A table whose route cannot be changed."""
    gone: str = ""
    """A table that was deleted."""
    _pending: list[tuple[int, str]] = field(default_factory=list)

    def describe(self) -> tuple[AddressObject, ...]:
        self._fail("describe")
        if self._pending and self.slow <= 0:
            for index, holder in self._pending:
                self.holders[index] = holder
            self._pending.clear()
        self.slow -= 1
        return tuple(
            AddressObject(id_, holder)
            for id_, holder in zip(CONFIG.objects, self.holders, strict=True)
            if id_ != self.gone
        )

    def move_calls(
        self, seen: tuple[AddressObject, ...], *, for_peer: bool = False
    ) -> Iterator[Call]:
        to = "eni-2" if for_peer else "eni-1"
        return move_calls(CONFIG.kind, CONFIG.address, seen, to)

    def make(self, call: Call) -> object:
        self._fail(call.operation)
        if call.arguments["RouteTableId"] == self.broken:
            raise Ec2Error(f"ec2:{call.operation}", Failure.REFUSED, "gone")
        index = CONFIG.objects.index(call.arguments["RouteTableId"])
        self._pending.append((index, call.arguments["NetworkInterfaceId"]))
        return None

    def has_arrived(self) -> bool:
        return True

    def dry_run(self, call: Call) -> str:
        self.calls.append("dry_run")
        return self.refuses

    def _fail(self, name: str) -> None:
        self.calls.append(name)
        if self.failure:
            raise Ec2Error(f"ec2:{name}", self.failure, "no")


class Bench:
    """A mover in time that only moves when told to."""

    def __init__(self, config: MoverConfig = CONFIG, **cloud: object) -> None:
        self.now = 1000.0
        self.cloud = FakeCloud(**cloud)  # type: ignore[arg-type]
        self.mover = self.start(config, Memory())
        self.listen: Callable[[], None] = lambda: None

    def start(self, config: MoverConfig, memory: Memory) -> Mover:
        return Mover(
            config,
            self.cloud,
            memory,
            clock=lambda: self.now,
            wall_clock=lambda: self.now,
            chance=lambda: 0.0,  # the shortest pauses that there are
        )

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.mover.due <= end:
            self.now = max(self.now, self.mover.due)
            self.mover.act(self.listen)
        self.now = end

    def counted(self, name: str) -> int:
        return self.cloud.calls.count(name)


def test_new_master_claims_every_place_at_once_and_verifies() -> None:
    bench = Bench()
    bench.mover.hear(State.MASTER)
    bench.run(0.0)
    assert bench.cloud.calls == [
        "describe",
        "replace_route",
        "replace_route",
        "describe",
    ]
    assert bench.cloud.holders == ["eni-1", "eni-1"]
    assert bench.mover.memory.arrived
    assert bench.mover.memory.moves == 2


def test_place_that_leads_here_already_is_not_moved() -> None:
    bench = Bench(holders=["eni-1", "eni-2"])
    bench.mover.hear(State.MASTER)
    bench.run(1)
    assert bench.counted("replace_route") == 1


@pytest.mark.parametrize("state", [State.BACKUP, State.FAULT, State.STOP])
def test_node_that_is_not_master_never_claims(state: State) -> None:
    bench = Bench(holders=[None, None])
    bench.mover.hear(state)
    bench.run(3600)
    assert bench.counted("replace_route") == 0


@pytest.mark.parametrize(
    ("holder", "interval"), [("eni-2", 60), (None, 5), ("eni-stranger", 5)]
)
def test_standby_looks_more_often_while_its_peer_does_not_have_the_address(
    holder: str | None, interval: int
) -> None:
    bench = Bench(holders=[holder, holder])
    bench.mover.hear(State.BACKUP)
    bench.run(3600)
    assert bench.counted("describe") == pytest.approx(3600 / interval, abs=5)


@pytest.mark.parametrize(
    ("text", "away"),
    [("1\n", True), ("0\n", False), ("", False), ("yes", False), ("\xff", False)],
)
def test_transfer_is_told_as_keepalived_reads_it(
    tmp_path: Path, text: str, away: bool
) -> None:
    path = tmp_path / "transfer"
    path.write_text(text, encoding="latin-1")
    assert is_handed_over(path) is away


def test_backup_that_is_left_with_the_address_gives_it_to_its_master() -> None:
    bench = Bench(holders=["eni-1", "eni-1"])
    bench.mover.hear(State.BACKUP)
    bench.run(CONFIG.hand_back_after)
    assert bench.counted("replace_route") == 0, "the master has time to take it"
    bench.run(CONFIG.check_interval + 1)
    assert bench.cloud.holders == ["eni-2", "eni-2"]
    assert bench.mover.memory.moves == 0


@pytest.mark.parametrize("state", [State.FAULT, State.STOP])
def test_node_that_hears_no_master_gives_nothing_away(state: State) -> None:
    bench = Bench(holders=["eni-1", "eni-1"])
    bench.mover.hear(State.BACKUP)
    bench.mover.hear(state)
    bench.run(3600)
    assert bench.cloud.holders == ["eni-1", "eni-1"]


def test_backup_without_a_peer_has_nobody_to_give_the_address_to() -> None:
    alone = replace(CONFIG, peer="", peer_interface_id="")
    bench = Bench(alone, holders=["eni-1", "eni-1"])
    bench.mover.hear(State.BACKUP)
    bench.run(3600)
    assert bench.cloud.holders == ["eni-1", "eni-1"]


@pytest.mark.parametrize("made", [0, 1])
def test_node_that_yields_before_a_claim_does_not_make_it(made: int) -> None:
    bench = Bench(holders=[None, None])
    bench.mover.hear(State.MASTER)

    def yields() -> None:
        if bench.counted("replace_route") == made:
            bench.mover.hear(State.BACKUP)

    bench.listen = yields
    bench.run(CONFIG.hand_back_after)
    assert bench.counted("replace_route") == made


def test_backup_that_becomes_master_meanwhile_gives_nothing_away() -> None:
    bench = Bench(holders=["eni-1", "eni-1"])
    bench.mover.hear(State.BACKUP)
    bench.run(CONFIG.hand_back_after)
    bench.listen = lambda: bench.mover.hear(State.MASTER)
    bench.run(60)
    assert bench.counted("replace_route") == 0


def test_gift_that_takes_its_time_is_not_made_again() -> None:
    bench = Bench(holders=["eni-1", "eni-1"])
    bench.mover.hear(State.BACKUP)
    bench.run(CONFIG.hand_back_after)
    bench.cloud.slow = 4
    bench.run(8)
    assert bench.counted("replace_route") == 2
    assert bench.cloud.holders == ["eni-2", "eni-2"]


def test_mover_that_was_just_started_waits_before_it_gives_anything_away() -> None:
    bench = Bench(holders=["eni-1", "eni-1"])
    bench.mover = bench.start(CONFIG, Memory(State.BACKUP))
    bench.run(CONFIG.hand_back_after - 1)
    assert bench.counted("replace_route") == 0


def test_place_that_cannot_be_moved_does_not_keep_the_others() -> None:
    bench = Bench(broken="rtb-1")
    bench.mover.hear(State.MASTER)
    bench.run(5)
    assert bench.cloud.holders == ["eni-2", "eni-1"]
    assert "replace_route" in bench.mover.memory.last_failure
    assert bench.mover.memory.failures > 1, "not reset by looks that work"


def test_master_whose_priority_has_dropped_does_not_insist() -> None:
    bench = Bench(holders=["eni-1", "eni-1"])
    bench.mover.hear(State.MASTER)
    bench.run(1)
    bench.mover.memory.priority = 131
    bench.cloud.holders = ["eni-2", "eni-2"]
    bench.run(20)
    bench.mover = bench.start(CONFIG, bench.mover.memory)
    bench.run(10)
    assert bench.counted("replace_route") == 0
    bench.mover.memory.priority = 151
    bench.run(CONFIG.check_interval)
    assert bench.cloud.holders == ["eni-1", "eni-1"]


def test_steady_hour_makes_no_claim() -> None:
    bench = Bench(holders=["eni-1", "eni-1"])
    bench.mover.hear(State.MASTER)
    bench.run(3600)
    assert bench.counted("replace_route") == 0
    assert 715 <= bench.counted("describe") <= 725


def test_address_taken_away_in_aws_comes_back_at_the_next_look() -> None:
    bench = Bench(holders=["eni-1", "eni-1"])
    bench.mover.hear(State.MASTER)
    bench.run(1)
    bench.cloud.holders = ["eni-2", "eni-1"]
    bench.run(CONFIG.check_interval)
    assert bench.cloud.holders == ["eni-1", "eni-1"]


def test_claim_that_takes_its_time_is_not_made_again() -> None:
    bench = Bench(slow=5)
    bench.mover.hear(State.MASTER)
    bench.run(4)
    assert bench.counted("replace_route") == 2
    assert bench.mover.memory.arrived


def test_claim_that_shows_no_effect_is_made_again() -> None:
    bench = Bench(slow=10_000)
    bench.mover.hear(State.MASTER)
    bench.run(30)
    assert 4 <= bench.counted("replace_route") <= 12


@pytest.mark.parametrize(
    ("failure", "most"), [(Failure.UNREACHABLE, 10), (Failure.THROTTLED, 6)]
)
def test_failing_calls_are_retried_for_ever_and_ever_slower(
    failure: Failure, most: int
) -> None:
    bench = Bench(failure=failure)
    bench.mover.hear(State.MASTER)
    bench.run(10)
    assert 3 <= bench.counted("describe") <= most
    bench.run(3600)
    assert bench.mover.memory.failures > 3600 / LONGEST_RETRY
    bench.cloud.failure = None
    bench.run(LONGEST_RETRY)
    assert bench.cloud.holders == ["eni-1", "eni-1"]
    assert bench.mover.memory.failures == 0
    assert bench.mover.memory.failures_in_all > 3600 / LONGEST_RETRY


def test_denied_claim_is_told_by_name(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(failure=Failure.DENIED)
    bench.mover.hear(State.MASTER)
    bench.run(20)
    assert bench.mover.memory.last_failure == "ec2:describe: no"
    told = [r for r in caplog.records if "ec2:describe" in r.message]
    assert len(told) == 1, "once, not at every retry"


def test_standby_finds_out_what_it_may_not_do() -> None:
    bench = Bench(refuses="ec2:ReplaceRoute: UnauthorizedOperation")
    bench.mover.hear(State.BACKUP)
    bench.run(61)
    assert "ec2:ReplaceRoute" in bench.mover.memory.refused
    bench.cloud.refuses = ""
    bench.run(61)
    assert bench.mover.memory.refused == ""


def test_standby_that_becomes_master_during_slow_trials_stops_trying() -> None:
    bench = Bench()
    bench.mover.hear(State.BACKUP)
    heard = iter([State.BACKUP, State.BACKUP, State.MASTER])

    bench.listen = lambda: bench.mover.hear(next(heard, State.MASTER))
    bench.run(2)

    assert bench.counted("dry_run") == 1, "the second table's is left out"
    assert bench.cloud.holders == ["eni-1", "eni-1"]


def test_other_master_of_lower_priority_is_answered_at_a_bearable_rate() -> None:
    bench = Bench(holders=["eni-1", "eni-1"])
    bench.mover.hear(State.MASTER)
    bench.run(0)
    before = bench.counted("describe")
    for _ in range(100):
        bench.mover.heard_lower_priority()
        bench.run(0.1)
    assert 5 <= bench.counted("describe") - before <= 11


class TestBackupOfRecord:
    """A master that does not insist: the peer has the higher base priority."""

    MEEK = replace(CONFIG, reclaim_priority=None)

    def arrived(self) -> Bench:
        bench = Bench(self.MEEK)
        bench.mover.hear(State.MASTER)
        bench.run(1)
        assert bench.cloud.holders == ["eni-1", "eni-1"]
        return bench

    def test_does_not_take_the_address_back_from_its_peer(self) -> None:
        bench = self.arrived()
        bench.cloud.holders = ["eni-2", "eni-2"]
        bench.run(55)
        assert bench.cloud.holders == ["eni-2", "eni-2"]

    def test_takes_it_back_in_the_end_from_a_peer_that_is_not_there(self) -> None:
        bench = self.arrived()
        moves = bench.mover.memory.moves
        for pause in (70, 130, 250):
            bench.cloud.holders = ["eni-2", "eni-2"]
            bench.run(pause)
            moves += 2
            assert bench.mover.memory.moves == moves

    def test_takes_it_when_it_becomes_master_again(self) -> None:
        bench = self.arrived()
        bench.cloud.holders = ["eni-2", "eni-2"]
        bench.mover.hear(State.BACKUP)
        bench.mover.hear(State.MASTER)
        bench.run(1)
        assert bench.cloud.holders == ["eni-1", "eni-1"]

    def test_takes_it_when_it_hears_that_it_prevails(self) -> None:
        bench = self.arrived()
        bench.cloud.holders = ["eni-2", "eni-2"]
        bench.mover.heard_lower_priority()
        bench.run(2)
        assert bench.cloud.holders == ["eni-1", "eni-1"]

    @pytest.mark.parametrize("holder", [None, "eni-stranger"])
    def test_takes_it_from_anyone_but_its_peer(self, holder: str | None) -> None:
        bench = self.arrived()
        bench.cloud.holders = [holder, holder]
        bench.run(CONFIG.check_interval)
        assert bench.cloud.holders == ["eni-1", "eni-1"]

    def test_table_that_is_gone_is_no_reason_to_fight_for_the_others(self) -> None:
        bench = Bench(self.MEEK, gone="rtb-2")
        bench.mover.hear(State.MASTER)
        bench.run(1)
        assert bench.cloud.holders[0] == "eni-1"
        bench.cloud.holders[0] = "eni-2"
        bench.run(55)
        assert bench.cloud.holders[0] == "eni-2"

    def test_goes_on_with_a_claim_after_its_own_restart(self) -> None:
        bench = Bench(self.MEEK, failure=Failure.UNREACHABLE)
        bench.mover.hear(State.MASTER)
        bench.run(3)
        bench.cloud.failure = None
        bench.mover = bench.start(self.MEEK, bench.mover.memory)
        bench.mover.hear(State.MASTER)
        bench.run(1)
        assert bench.cloud.holders == ["eni-1", "eni-1"]

    def test_restart_is_no_reason_to_take_it(self) -> None:
        bench = self.arrived()
        bench.cloud.holders = ["eni-2", "eni-2"]
        bench.mover = bench.start(self.MEEK, bench.mover.memory)
        bench.mover.hear(State.MASTER)
        bench.run(50)
        assert bench.cloud.holders == ["eni-2", "eni-2"]


def test_config_is_read_back_as_it_was_written() -> None:
    assert MoverConfig.from_json(CONFIG.to_json()) == CONFIG
    with pytest.raises(ValueError, match="not a config"):
        MoverConfig.from_json('{"kind": "route"}')


def test_config_of_the_last_release_is_read() -> None:
    """Or a mover that restarts in the middle of an upgrade would not start."""
    text = CONFIG.to_json()
    for new, old in (
        ("reclaim_priority", "insists_from"),
        ("hand_back_after", "left_behind"),
    ):
        assert f'"{new}"' in text
        text = text.replace(f'"{new}"', f'"{old}"')
    assert MoverConfig.from_json(text) == CONFIG


def test_memory_survives_a_restart_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(State.MASTER, 5.0, arrived=True, holders=("eni-1",), moves=3)
    monkeypatch.setattr(keepalived, "process_identity", lambda: "7 100")
    report.save(CONFIG, memory, tmp_path / "status.json")
    assert report.resume(tmp_path / "status.json") == memory
    monkeypatch.setattr(keepalived, "process_identity", lambda: "8 200")
    resumed = report.resume(tmp_path / "status.json")
    assert (resumed.vrrp_state, resumed.arrived) == (State.STOP, False)
    assert resumed.priority == 0
    assert resumed.moves == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"vrrp_state": "MASTER"}',
        json.dumps(asdict(Memory()) | {"vrrp_state": "ASLEEP"}),
        json.dumps(asdict(Memory()) | {"holders": None}),
        json.dumps(asdict(Memory()) | {"moves": "many"}),
    ],
)
def test_torn_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    path = tmp_path / "status.json"
    path.write_text(text)
    assert report.resume(path) == Memory()


@pytest.mark.parametrize(
    ("state", "holders", "agrees"),
    [
        (State.MASTER, ("eni-1", "eni-1"), True),
        (State.MASTER, ("eni-1", "eni-2"), False),
        (State.MASTER, (), False),
        (State.BACKUP, ("eni-2", "eni-2"), True),
        (State.BACKUP, ("eni-1", "eni-2"), False),
    ],
)
def test_status_says_whether_aws_and_vrrp_agree(
    tmp_path: Path, state: State, holders: tuple[str, ...], agrees: bool
) -> None:
    path = tmp_path / "status.json"
    memory = Memory(vrrp_state=state, holders=holders, looked_at=5.0)
    assert report.agrees(CONFIG, memory) is agrees
    report.save(CONFIG, memory, path)
    assert ("DO NOT AGREE" in report.show(path)) is not agrees


def test_status_claims_nothing_before_aws_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    report.save(CONFIG, Memory(State.MASTER), path)
    assert "EC2 has not said yet" in report.show(path)
    assert "DO NOT AGREE" not in report.show(path)


def test_status_of_a_dead_mover_says_so(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    report.save(CONFIG, Memory(), path)
    assert "NOT UPDATED" not in report.show(path)
    os.utime(path, (0, time.time() - 100))
    assert report.show(path).startswith("NOT UPDATED for 100 s")


def test_metrics_are_written_where_a_collector_reads_them(tmp_path: Path) -> None:
    memory = Memory(State.MASTER, holders=("eni-1", "eni-1"), moves=2, failures=1)
    report.save_metrics(CONFIG, memory, tmp_path / "nowhere" / "a.prom")
    report.save_metrics(CONFIG, memory, tmp_path / "a.prom")
    (file,) = tmp_path.iterdir()
    lines = file.read_text().splitlines()
    assert 'portway_address_vrrp_master{stack="messages"} 1' in lines
    assert 'portway_address_address_held{stack="messages"} 1' in lines
    assert 'portway_address_moves_total{stack="messages"} 2' in lines
    assert "# TYPE portway_address_moves_total counter" in lines
