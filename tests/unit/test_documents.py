"""The documents: links resolve, commands exist, quoted texts are the program's own.

A fenced block says what it is: ``sh`` runs on the operator's machine, ``sh aws`` needs
a stack on AWS, ``sh node`` runs on a node, ``json`` is a clients file, ``python`` is
settings, ``text`` is none of these. Commands that need AWS cannot be run by a test:
their services, operations, options, files and settings are checked instead.
"""

import ast
import functools
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from cfnlint.decode import cfn_yaml

import portway
from lab.aws.address import ELASTIC_IP
from lab.cli.main import _parser as lab_parser
from lab.errors import LabError
from lab.failover import table
from lab.failover.command import DOCUMENT, chosen
from lab.failover.pair import MOVES
from portway.aws.discovery import PORT_OUTPUTS, TEXT_OUTPUTS
from portway.contract import paths
from portway.contract.metrics import METRICS, PREFIX
from portway.errors import PortwayError
from portway.model.clients import parse_clients
from portway.model.settings import settings_from
from portway.run.command_line import REFUSED

PROJECT = Path(__file__).parents[2]
NAMED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
DOCUMENTS = [*(PROJECT / n for n in NAMED), *sorted((PROJECT / "docs").glob("*.md"))]
RUNBOOK = PROJECT / "docs" / "runbook.md"
LEAST_QUOTED = 10
"""Characters of an error text that a key must quote, so that it is not just any."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what is after the opening fence, its line, and its text."""

    kind: str
    line: int
    text: str


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document."""
    found, lines, start, kind = [], list[str](), 0, ""
    for number, line in enumerate(document.splitlines(), start=1):
        if not line.startswith("```"):
            lines.append(line)
        elif not start:
            start, kind, lines = number, line[3:], []
        else:
            found.append(Block(kind, start, "\n".join(lines)))
            start = 0
    if start:
        found.append(Block("never closed", start, ""))
    return found


def prose(document: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", document, flags=re.DOTALL | re.MULTILINE)


# --- Links ----------------------------------------------------------------------------


def anchors(document: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = found.get(slug, 0)
        found[slug] = number + 1
        names.add(f"{slug}-{number}" if number else slug)
    return names


def broken_links(path: Path, document: str) -> list[str]:
    """Relative links and anchors of a document that lead nowhere."""
    text = re.sub(r"`[^`\n]*`", "code", prose(document))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        if not file.exists():
            broken.append(target)
        elif anchor:
            linked = file.read_text() if name else document
            if anchor not in anchors(linked):
                broken.append(target)
    return broken


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    assert broken_links(path, path.read_text()) == []


@pytest.mark.parametrize(
    "link",
    ["[a](nowhere.md)", "[a](#nowhere)", "[a](docs/install.md#nowhere)", "![](a.svg)"],
)
def test_broken_link_is_found(link: str) -> None:
    assert broken_links(PROJECT / "README.md", f"# Here\n\n{link}\n")


def test_good_links_are_not_found() -> None:
    text = "# `a` == 1\n\n[`x`](#a--1) [b](docs/install.md#8-say-what-runs) `[c](d)`"
    assert broken_links(PROJECT / "README.md", text) == []


def test_every_document_is_linked_from_the_readme() -> None:
    readme = (PROJECT / "README.md").read_text()
    names = {str(path.relative_to(PROJECT)) for path in DOCUMENTS} - {"README.md"}
    assert names == {name for name in names if f"]({name})" in readme}


# --- Commands -------------------------------------------------------------------------

Words = list[str]


class Wrong(Exception):  # noqa: N818 - what a check raises
    """What is wrong with a command."""


def need(condition: object, text: str) -> None:
    """Raise Wrong unless something holds."""
    if not condition:
        raise Wrong(text)


def commands(text: str) -> Iterator[Words]:
    """The commands of a block, in words; each side of a pipe is one."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        words: Words = []
        for word in shlex.split(line, comments=True):
            if word == "|":
                yield words
                words = []
            else:
                words.append(word)
        if words:
            yield words


def options(words: Words) -> Iterator[tuple[str, str]]:
    """The options of a command, each with the word after it."""
    for number, word in enumerate(words):
        if word.startswith("-"):
            yield word, words[number + 1] if number + 1 < len(words) else ""


def check_make(words: Words) -> None:
    """Each word is a target of the Makefile."""
    makefile = (PROJECT / "Makefile").read_text()
    for target in words:
        need(re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target)


def check_python(words: Words) -> None:
    """``-m MODULE`` exists; arguments of the lab and of pytest are good ones."""
    need(words[:1] == ["-m"] and len(words) > 1, "python without -m MODULE")
    module, rest = words[1], words[2:]
    need(find_spec(module), f"no module {module}")
    if module == "lab":
        check_lab(rest)
    if module.startswith("portway."):
        check_files(rest)


def check_lab(words: Words) -> None:
    """The lab's own parser takes the arguments; what it runs is checked as well."""
    try:
        parsed = lab_parser().parse_args(words)
    except SystemExit:
        raise Wrong(f"lab: {words}") from None
    try:
        chosen(parsed.only if words[0] == "failover" else (), ELASTIC_IP)
    except LabError as error:
        raise Wrong(str(error)) from error
    inner = getattr(parsed, "command", None)
    if inner:
        where = "sh node" if words[0] == "exec" else "sh aws"
        check_command(where, inner[1:] if inner[0] == "--" else inner)


def check_files(words: Words) -> None:
    """Words that are no options are files of the project."""
    for word in words:
        if not word.startswith("-"):
            need((PROJECT / word.partition("::")[0]).exists(), f"no file {word}")


def check_pytest(words: Words) -> None:
    """Paths of tests; ``-n auto`` may follow."""
    check_files([word for word in words if word != "auto"])


def check_pip(words: Words) -> None:
    """``-r FILE`` exists."""
    check_files([value for option, value in options(words) if option == "-r"])


def check_activate(words: Words) -> None:
    """The virtual environment of the step before."""
    need(words == [".venv/bin/activate"], f". {words}")


def check_export(words: Words) -> None:
    """Variables that inventories or settings read."""
    readers = [*PROJECT.glob("inventories/*.py"), PROJECT / "group_data" / "all.py"]
    text = "".join(path.read_text() for path in readers)
    for word in words:
        need(f'"{word.partition("=")[0]}"' in text, f"nothing reads {word}")


@functools.cache
def pyinfra_help() -> str:
    """What ``pyinfra --help`` prints; its module may not be imported beside others."""
    program = Path(sys.executable).with_name("pyinfra")
    return subprocess.run(
        [program, "--help"], check=True, capture_output=True, text=True
    ).stdout


def check_pyinfra(words: Words) -> None:
    """Files, options and settings exist, and Portway does not refuse the options."""
    data = {}
    for option, value in options(words):
        need(re.search(rf"[ ,]{option}[ ,\n]", pyinfra_help()), f"no option {option}")
        need(option[2:].replace("-", "_") not in REFUSED, f"{option} is refused")
        if option == "--data":
            name, _, text = value.partition("=")
            data[name] = text
    check_settings(data)
    files = [word for word in words if word.endswith(".py")]
    need(len(files) > 1, "pyinfra without an inventory and a deploy")
    check_files(files)


def check_settings(values: dict[str, Any]) -> None:
    """The settings are declared, and take these values."""
    try:
        settings_from({"clients_file": "clients.json", **values})
    except PortwayError as error:
        raise Wrong(error.message) from error


GLOBAL = {"query", "output", "region", "profile"}
ONLY_OF_CLI: dict[tuple[str, str], set[str]] = {
    ("cloudformation", "deploy"): {
        "stack-name",
        "template-file",
        "parameter-overrides",
        "capabilities",
        "no-execute-changeset",
    },
}
"""Options of commands that are no operation of the service."""
MORE_OPTIONS = {("ec2", "run-instances"): {"count": {"min-count", "max-count"}}}
"""Options that the command line has instead of the operation's."""


SESSION = botocore.session.get_session()


@functools.cache
def service_model(service: str) -> Any:
    """A service's operations, from the files that botocore brings."""
    return SESSION.get_service_model(service)


def check_aws(words: Words) -> None:
    """Service, operation and options exist, and no required option is missing."""
    service, operation = (*words, "", "")[:2]
    given = {option[2:] for option, _ in options(words)} - GLOBAL
    for option, value in options(words):
        if option == "--query":
            check_query(value)
    if (service, operation) in ONLY_OF_CLI:
        unknown = given - ONLY_OF_CLI[service, operation]
        need(not unknown, f"aws {service} {operation}: {unknown}")
        check_deploy(words)
        return
    need(service in SESSION.get_available_services(), f"no service {service}")
    model = service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    need(operation in names, f"no operation {service} {operation}")
    for alias, instead in MORE_OPTIONS.get((service, operation), {}).items():
        if alias in given:
            given = (given - {alias}) | instead
    shape = model.operation_model(names[operation]).input_shape
    known = {xform_name(name, "-") for name in shape.members}
    plain = {g if g in known else g.removeprefix("no-") for g in given}
    need(plain <= known, f"aws {service} {operation}: {plain - known}")
    required = {xform_name(name, "-") for name in shape.required_members}
    need(required <= plain, f"aws {service} {operation}: missing {required - plain}")


def check_query(query: str) -> None:
    """A query that JMESPath takes without a warning; literals are JSON."""
    jmespath = import_module("jmespath")  # botocore needs it; it has no types
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            jmespath.compile(query)
        except (jmespath.exceptions.JMESPathError, Warning) as error:
            raise Wrong(f"--query {query}: {error}") from error


def check_deploy(words: Words) -> None:
    """Template and parameters of ``aws cloudformation deploy``."""
    files = [value for option, value in options(words) if option == "--template-file"]
    need(files, "no --template-file")
    check_files(files)
    for word in words:
        name, is_pair, _ = word.partition("=")
        need(not is_pair or name in template()["Parameters"], f"no parameter {name}")


@functools.cache
def template() -> dict[str, Any]:
    """The CloudFormation template."""
    path = PROJECT / "cloudformation" / "stack.yaml"
    document: dict[str, Any] = cfn_yaml.load(str(path))
    return document


UNITS = {"haproxy", "keepalived", "portway-address", "message-app"}
SYSTEMCTL = {"start", "stop", "restart", "status", "reboot"}
SOCKETS = {str(paths.ADMIN_SOCKET), "/run/haproxy-master.sock"}


def check_systemctl(words: Words) -> None:
    """Verbs and units that there are."""
    verb, *units = [word for word in words if not word.startswith("-")]
    need(verb in SYSTEMCTL and set(units) <= UNITS, f"systemctl {words}")


def check_journalctl(words: Words) -> None:
    """Units that there are."""
    units = {value for option, value in options(words) if option == "-u"}
    need(units and units <= UNITS, f"journalctl {words}")


def check_mover(words: Words) -> None:
    """Commands that ``portway-address`` has."""
    source = (PROJECT / "portway/node/address/__main__.py").read_text()
    for word in words:
        need(f'"{word}"' in source, f"portway-address {word}")


def check_socat(words: Words) -> None:
    """HAProxy's sockets."""
    need(words[-1].removeprefix("UNIX-CONNECT:") in SOCKETS, f"socat {words}")


def check_analyze(words: Words) -> None:
    """Units that there are."""
    need(words[0] == "security" and words[1] in UNITS, f"systemd-analyze {words}")


def anything(words: Words) -> None:
    """A program whose arguments are not Portway's business."""


Check = Callable[[Words], None]
HERE: dict[str, Check] = {
    ".": check_activate,
    ".venv/bin/pip": check_pip,
    ".venv/bin/pytest": check_pytest,
    ".venv/bin/python": check_python,
    "export": check_export,
    "make": check_make,
    "python3": check_python,
}
PROGRAMS: dict[str, dict[str, Check]] = {
    "sh": HERE,
    "sh aws": {
        **HERE,
        "aws": check_aws,
        "curl": anything,
        "git": anything,
        "nc": anything,
        "pyinfra": check_pyinfra,
        "ssh": anything,
    },
    "sh node": {
        "apt-get": anything,
        "cut": anything,
        "echo": anything,
        "grep": anything,
        "journalctl": check_journalctl,
        "portway-address": check_mover,
        "python3": anything,
        "socat": check_socat,
        "ss": anything,
        "systemctl": check_systemctl,
        "systemd-analyze": check_analyze,
        str(paths.CHECK_SCRIPT): anything,
    },
}
"""The programs that each kind of block may call, and what is checked of their words."""


def check_command(kind: str, words: Words) -> None:
    """Raise Wrong if a command cannot be one that works in this kind of block."""
    program, *rest = words[1:] if words[0] == "sudo" else words
    need(program in PROGRAMS[kind], f"{program} is no program of a block `{kind}`")
    PROGRAMS[kind][program](rest)


def check_block(block: Block) -> None:
    """Raise Wrong if a block is unmarked or what it shows would not work."""
    if block.kind in PROGRAMS:
        for words in commands(block.text):
            check_command(block.kind, words)
    elif block.kind == "json":
        try:
            found = parse_clients(block.text, "clients.json").problems
        except PortwayError as error:
            raise Wrong(error.message) from error
        need(not found, "; ".join(map(str, found)))
    elif block.kind == "python":
        assignments = [
            s for s in ast.parse(block.text).body if isinstance(s, ast.Assign)
        ]
        need(assignments, "no settings")
        for assignment in assignments:
            value = ast.literal_eval(assignment.value)
            check_settings({ast.unparse(t): value for t in assignment.targets})
    else:
        need(block.kind == "text", f"unknown or missing mark {block.kind!r}")


def wrong_blocks(document: str) -> list[str]:
    """What is wrong with the blocks of a document, with their lines."""
    wrong = []
    for block in blocks(document):
        try:
            check_block(block)
        except (Wrong, ValueError, SyntaxError) as error:
            wrong.append(f"line {block.line}: {error}")
    if re.search(r"^(    |\t)", prose(document), re.MULTILINE):
        wrong.append("an indented block, which cannot be marked: use a fence")
    return wrong


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_is_marked_and_would_work(path: Path) -> None:
    assert wrong_blocks(path.read_text()) == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("", "make test"),
        ("bash", "make test"),
        ("sh", "make tea"),
        ("sh", "pyinfra inventories/prod.py deploys/lb.py"),
        ("sh", "rm -rf /"),
        ("sh", ".venv/bin/pip install -r no.txt"),
        ("sh", ".venv/bin/python -m no_such_module"),
        ("sh", ".venv/bin/python -m lab dance"),
        ("sh", ".venv/bin/python -m lab failover --only tea-break"),
        ("sh", ". .venv/bin/activated"),
        (
            "sh",
            ".venv/bin/python -m lab run -- pyinfra inventories/lab.py deploys/x.py",
        ),
        ("sh", ".venv/bin/python -m lab exec lb-1 -- systemctl status nginx"),
        ("sh", ".venv/bin/python -m portway.cli.reference docs/nowhere.md"),
        ("sh", ".venv/bin/pytest tests/nowhere"),
        ("sh", "export PORTWAY_NOTHING=1"),
        ("sh", "make test 'unclosed"),
        ("sh aws", "aws ec3 describe-instances"),
        ("sh aws", "aws ec2 describe-everything"),
        ("sh aws", "aws ec2 describe-instances --filter Name=a"),
        ("sh aws", "aws ec2 create-tags --resources i-1"),
        ("sh aws", "aws ec2 describe-instances --query 'a[?b==`c`]'"),
        ("sh aws", "aws ec2 describe-instances --query 'a[?'"),
        ("sh aws", "aws cloudformation deploy --stack-name a --template-file b.yaml"),
        (
            "sh aws",
            "aws cloudformation deploy --stack-name a "
            "--template-file cloudformation/stack.yaml --parameter-overrides Nodes=3",
        ),
        ("sh aws", "pyinfra inventories/prod.py"),
        ("sh aws", "pyinfra inventories/nowhere.py deploys/lb.py"),
        ("sh aws", "pyinfra inventories/prod.py deploys/lb.py --dri"),
        ("sh aws", "pyinfra inventories/prod.py deploys/lb.py --serial"),
        ("sh aws", "pyinfra inventories/prod.py deploys/lb.py --data transfer=lb-2"),
        ("sh node", "sudo systemctl restart nginx"),
        ("sh node", "systemctl mask haproxy"),
        ("sh node", "journalctl -u nginx"),
        ("sh node", "sudo portway-address move"),
        ("sh node", "echo show stat | sudo socat - UNIX-CONNECT:/run/no.sock"),
        ("sh node", "sudo /usr/local/lib/portway/check"),
        ("json", '{"clients": [{"client_name": "a", "client_prt": 9001}]}'),
        ("json", "{"),
        ("python", 'app_versoin = "1.0.0"'),
        ("python", "drain_timeout = -1"),
        ("python", "drain_timeout ="),
    ],
)
def test_bad_block_is_found(kind: str, text: str) -> None:
    assert wrong_blocks(f"```{kind}\n{text}\n```\n")


def test_indented_block_and_unclosed_fence_are_found() -> None:
    assert wrong_blocks("Run this:\n\n    make test\n")
    assert wrong_blocks("```sh\nmake test\n")


def test_good_blocks_are_not_found() -> None:
    text = "```sh\nmake test  # all of it\n```\n\n```text\nanything | at 'all\n```\n"
    assert wrong_blocks(text) == []
    aws = (
        "aws ec2 modify-instance-attribute --no-source-dest-check \\\n"
        "    --instance-id i-…"
    )
    assert wrong_blocks(f"```sh aws\n{aws}\n```\n") == []


# --- The runbook ----------------------------------------------------------------------


@functools.cache
def texts() -> str:
    """Every text in the sources but docstrings, with … for what is filled in."""
    found = []
    for path in sorted((PROJECT / "portway").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if id(node) in docstrings:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            if isinstance(node, ast.JoinedStr):
                parts = (
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
                found.append("".join(parts))
    return "\n".join(found)


def section(document: str, title: str) -> str:
    """A section of the second level."""
    _, _, rest = document.partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


def keys(text: str) -> list[str]:
    """What entries of a section begin with: headings and first cells, in backticks."""
    return re.findall(r"^(?:###+ |\| )`([^`]+)`(?: \||$)", text, re.MULTILINE)


def occurs(key: str) -> bool:
    """Whether the sources have a text like this; … stands for anything in a line."""
    parts = [part for part in key.split("…") if part]
    if sum(len(part.strip()) for part in parts) < LEAST_QUOTED:
        return False
    return re.search(".*".join(map(re.escape, parts)), texts()) is not None


def test_every_error_text_of_the_runbook_is_in_the_sources() -> None:
    found = keys(section(RUNBOOK.read_text(), "Error texts"))
    assert len(found) > 50
    assert [key for key in found if not occurs(key)] == []


@pytest.mark.parametrize(
    "key",
    [
        "is healthy, but its load balancers do not find it so",
        "in AWS … leads to …, but VRRP master is …",
        "…",
        "is …",
        "Haproxy's runtime socket: the state of every server",
    ],
)
def test_error_text_that_nothing_says_is_found(key: str) -> None:
    assert not occurs(key)


def unknown_metrics(text: str) -> set[str]:
    """Metrics of the address mover that a text names and that there are not."""
    named = set(re.findall(rf"{PREFIX}\w+", text))
    return named - {PREFIX + name for name in METRICS}


def test_alerts_name_metrics_that_exist() -> None:
    expressions = keys(section(RUNBOOK.read_text(), "Alerts"))
    assert len(expressions) > 5
    assert all(PREFIX in expression for expression in expressions)
    assert unknown_metrics("\n".join(path.read_text() for path in DOCUMENTS)) == set()


def test_unknown_metric_is_found() -> None:
    assert unknown_metrics("sum(portway_address_mastery) == 2")


# --- Tables ---------------------------------------------------------------------------


def first_cells(text: str) -> list[str]:
    """What is in backticks in the first cells of tables."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def test_outputs_are_those_of_the_template_and_of_discovery() -> None:
    reference = (PROJECT / "docs" / "reference.md").read_text()
    listed = first_cells(section(reference, "Stack outputs"))
    assert sorted(listed) == sorted(template()["Outputs"])
    assert set(listed[:-2]) == {*TEXT_OUTPUTS, *PORT_OUTPUTS}


def test_files_on_nodes_are_where_the_code_puts_them() -> None:
    reference = section(
        (PROJECT / "docs" / "reference.md").read_text(), "Files on nodes"
    )
    for path in (
        paths.HAPROXY_CONFIG,
        paths.KEEPALIVED_CONFIG,
        paths.ADDRESS_CONFIG,
        paths.TRANSFER,
        paths.SYSCTL_CONFIG,
        paths.CHECK_SCRIPT,
        paths.ADDRESS_COMMAND,
        paths.STATUS,
        paths.INSTALLER,
        paths.PYTHON_FOLDER,
    ):
        assert f"`{path}" in reference


def failover_rows(document: str) -> dict[str, list[tuple[str, str]]]:
    """Name and description of each row of the fail-over tables, by kind of address."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for part in document.partition(table.START)[2].split("Address of kind `")[1:]:
        cells = [line.split(" | ") for line in part.splitlines() if "| " in line]
        rows[part.partition("`")[0]] = [(c[0][2:], c[1]) for c in cells[2:]]
    return rows


def test_failover_tables_have_every_scenario_and_nothing_lost() -> None:
    rows = failover_rows(DOCUMENT.read_text())
    assert rows == {
        kind: [(s.name, s.description) for s in chosen((), kind)] for kind in MOVES
    }


def test_missing_scenario_is_found() -> None:
    text = DOCUMENT.read_text()
    shorter = re.sub(r"^\| split brain .*\n", "", text, flags=re.MULTILINE)
    assert failover_rows(shorter) != failover_rows(text)


def test_floors_are_those_of_the_package() -> None:
    architecture = (PROJECT / "docs" / "architecture.md").read_text()
    lines = re.findall(r"^    (.+)$", str(portway.__doc__), re.MULTILINE)
    assert "\n".join(lines) in [block.text for block in blocks(architecture)]
