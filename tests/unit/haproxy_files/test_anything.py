"""Whatever a file has, it is compared, or it is said in words why not."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from click.testing import CliRunner

from portway.cli.compare import command
from portway.errors import PortwayError
from portway.haproxy_files.lines import LEAST
from portway.haproxy_files.listeners import GREETING
from portway.haproxy_files.listeners import HARMLESS as OF_BIND
from portway.haproxy_files.pools import COMPARED
from portway.haproxy_files.rules import ANSWERS, HARMLESS, ONLY_HTTP, QUIET, READ
from portway.haproxy_files.sections import KINDS, PROCESS
from tests.unit.haproxy_files.said import compared

DATA = Path(__file__).parent / "data"
FIRST = sorted(READ | HARMLESS | ONLY_HTTP | {(word,) for word in (*LEAST, *ANSWERS)})
"""How lines begin."""
MORE = """
if unless or || ! { } acl src dst dst_port TRUE LOCALHOST no from reject ssl
connection content session inspect-delay deny_status on off tcp http redispatch
connect send expect GET /up?a=b status string :9001 10.0.0.5:9001 :+-5 :+5 ::1
unix@/x 10.0.0.1:+-5 10.0.0.1:80 b 10.0.0.0/8 10.0.0.1 x.example ² ٣ -1 0 1e9
%[src] $A '$A' "$A" ' " \\ é"""
WORDS = (
    *sorted({*COMPARED, *OF_BIND, *GREETING, *QUIET, *PROCESS}),
    *MORE.split(),
    "9" * 5_000,
    "9" * 5_000 + "d",
    "\u2028",
)


def written(dice: random.Random) -> Iterator[str]:
    """Lines of words that HAProxy knows, in places where they may not be."""
    yield "listen a"
    yield " bind :9001"
    for _ in range(dice.randint(1, 25)):
        words = [dice.choice(WORDS) for _ in range(dice.randint(0, 5))]
        if dice.random() < 0.15:
            yield " ".join((dice.choice(KINDS), dice.choice("ab"), *words[:2]))
        elif dice.random() < 0.3:
            place = f"10.0.0.1{dice.choice(['', ':', ':80', ':+1', ':+-5', ':-9'])}"
            yield " ".join((" server", dice.choice("ab"), place, *words))
        else:
            yield " ".join(("", *dice.choice(FIRST), *words))


def answer(old: bytes, new: bytes, folder: Path) -> None:
    paths = [folder / "old.cfg", folder / "new.cfg"]
    for path, content in zip(paths, (old, new), strict=True):
        path.write_bytes(content)
    words = [str(paths[0]), "--with", str(paths[1])]
    found = CliRunner().invoke(command, words)
    if isinstance(found.exception, PortwayError):
        return
    assert isinstance(found.exception, SystemExit | None), (old, new)
    assert found.exit_code in (0, 1, 2)
    assert "ports: " in found.output


@pytest.mark.parametrize("seed", range(12))
def test_any_lines_are_answered_in_words(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    for _ in range(15):
        old, new = ("\n".join(written(dice)).encode() for _ in range(2))
        answer(old, new, tmp_path)
        answer(old, old, tmp_path)


def test_any_bytes_are_answered_in_words(tmp_path: Path) -> None:
    dice = random.Random(0)
    text = (DATA / "resources.cfg").read_bytes()
    for _ in range(10):
        broken = bytearray(text)
        for _ in range(20):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        answer(bytes(broken), text, tmp_path)
        answer(dice.randbytes(200), text, tmp_path)


@pytest.mark.parametrize("name", ["app_lb.cfg", "resources.cfg", "template.cfg"])
def test_no_file_is_too_broken_to_be_read(name: str) -> None:
    text = (DATA / name).read_text()
    dice = random.Random(name)
    for _ in range(30):
        lines = [line.split(" ") for line in text.splitlines()]
        for _ in range(3):
            words = dice.choice(lines)
            del words[dice.randrange(len(words) + 1) :]
            dice.choice(lines).append(dice.choice(dice.choice(lines) or [""]))
        broken = "\n".join(" ".join(words) for words in lines)
        compared(text, broken)
        compared(broken, broken)


@pytest.mark.parametrize("style", ["one rule", "one line", "a line each"])
def test_many_sources_take_no_longer_each(style: str) -> None:
    few, many = (calls(sources(count, style)) for count in (60, 180))
    assert many < few * 5


def sources(count: int, style: str) -> str:
    names = [f"10.{n // 256}.{n % 256}.{count % 256}/32" for n in range(count)]
    lines = {
        "one rule": [f"tcp-request connection reject if {{ src {' '.join(names)} }}"],
        "one line": [f"acl all src {' '.join(names)}"],
        "a line each": [f"acl all src {name}" for name in names],
    }[style]
    if style != "one rule":
        lines.append("tcp-request connection reject if all")
    return "listen a\n bind :9001\n " + "\n ".join(lines) + "\n server a 10.0.0.1:80\n"


def calls(text: str) -> int:
    """How many functions are called to compare a file with itself."""
    count = 0

    def counted(_frame: FrameType, event: str, _what: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        compared(text, text)
    finally:
        sys.setprofile(None)
    return count
