"""Whether the commands in the documents could work.

A fenced block says what it is: ``sh`` runs on the operator's machine, ``sh aws`` needs
a stack on AWS, ``sh node`` runs on a node, ``json`` is a clients file, ``python`` is
settings, ``text`` is none of these. Commands that need AWS cannot be run by a test:
their services, operations, options, files and settings are checked instead.
"""

import ast
import functools
import json
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import botocore.session
import click
from botocore import xform_name
from cfnlint.decode import cfn_yaml

from acceptance.parts.order import chosen as parts_chosen
from acceptance.run.command import _parser as acceptance_parser
from lab.aws.address import ELASTIC_IP
from lab.cli.main import _parser as lab_parser
from lab.errors import LabError
from lab.failover.command import chosen
from portway.cli.main import VERBS
from portway.contract import paths
from portway.errors import PortwayError
from portway.model.clients import parse_clients
from portway.model.settings import settings_from
from portway.render.agent import PROGRAM as AGENT_PROGRAM
from portway.render.load_balancer import SERVICES
from portway.run.command_line import REFUSED
from tests.unit.documents.reading import (
    PROJECT,
    Block,
    blocks,
    prose,
)

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
    if module == "acceptance":
        check_acceptance(rest)
    if module.startswith("portway."):
        check_files(rest)


def check_acceptance(words: Words) -> None:
    """Its own parser takes the arguments; the parts and settings exist."""
    try:
        parsed = acceptance_parser().parse_args(words)
        parts_chosen(tuple(filter(None, parsed.only.split(","))))
    except SystemExit:
        raise Wrong(f"acceptance: {words}") from None
    except PortwayError as error:
        raise Wrong(str(error)) from error
    check_settings(dict(word.split("=", 1) for word in parsed.data))


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


def check_promtool(words: Words) -> None:
    """What it says is right."""
    done = subprocess.run(
        ["promtool", *words], check=False, capture_output=True, text=True, cwd=PROJECT
    )
    need(done.returncode == 0, f"promtool {words}: {done.stderr}")


def check_pip(words: Words) -> None:
    """``-r FILE`` exists, and so does what is installed with ``--editable``."""
    files = [v for option, v in options(words) if option in ("-r", "--editable")]
    check_files(files)


def check_portway(words: Words) -> None:
    """A verb, with words that it takes; files exist."""
    need(bool(words) and words[0] in VERBS, f"portway {words}")
    verb = VERBS[words[0]][1]()
    try:
        verb.make_context(words[0], words[1:])
    except click.ClickException as error:
        raise Wrong(f"portway {words}: {error.format_message()}") from error
    secrets = [value for name, value in options(words) if name.endswith("-secret")]
    named = [word for word in words[1:] if "/" in word and word not in secrets]
    places = [word.partition(":")[0] for word in named]
    rendered = [p.removeprefix("new") for p in places if p.startswith("new/")]
    places = [place for place in places if not place.startswith("new/")] + rendered
    mine = [place for place in places if not place.startswith(("/", "releases/"))]
    check_files(mine)  # in the folder of releases is what release build wrote
    check_cat([place for place in places if place.startswith("/")])  # on a node


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
    data: dict[str, Any] = {}
    for option, value in options(words):
        need(re.search(rf"[ ,]{option}[ ,\n]", pyinfra_help()), f"no option {option}")
        need(option[2:].replace("-", "_") not in REFUSED, f"{option} is refused")
        if option == "--data":
            name, _, text = value.partition("=")
            try:  # as pyinfra reads it
                data[name] = json.loads(text)
            except ValueError:
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
    if operation == "wait":
        waiters = SESSION.get_waiter_model(service)
        names = {xform_name(n, "-"): n for n in waiters.waiter_names}
        need(words[2] in names, f"aws {service} has no waiter {words[2]}")
        words = [
            service,
            xform_name(waiters.get_waiter(names[words[2]]).operation, "-"),
        ]
        operation = words[1]
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
        known = template(files[0])["Parameters"]
        need(not is_pair or name in known, f"no parameter {name}")


@functools.cache
def template(file: str) -> dict[str, Any]:
    """A CloudFormation template of the project's."""
    document: dict[str, Any] = cfn_yaml.load(str(PROJECT / file))
    return document


EXPORTER = "prometheus-node-exporter"
"""Debian's, which is not Portway's and reads its metrics."""
UNITS = {*(service.unit for service in SERVICES), "message-app", EXPORTER}
SYSTEMCTL = {
    "daemon-reload",
    "disable",
    "reboot",
    "reload",
    "restart",
    "start",
    "status",
    "stop",
}
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


def check_cat(words: Words) -> None:
    """Files that Portway writes."""
    known = {str(path) for path in vars(paths).values() if isinstance(path, Path)}
    need(set(words) <= known, f"cat {words}")


def check_tee(words: Words) -> None:
    """What the exporter's unit reads."""
    need(words == [f"/etc/default/{EXPORTER}"], f"tee {words}")


def check_rm(words: Words) -> None:
    """Units that Portway writes whole."""
    units = {str(paths.UNIT_FOLDER / f"{unit}.service") for unit in UNITS}
    need(set(words) <= units, f"rm {words}")


def check_analyze(words: Words) -> None:
    """Units that there are."""
    need(words[0] == "security" and words[1] in UNITS, f"systemd-analyze {words}")


def anything(words: Words) -> None:
    """A program whose arguments are not Portway's business."""


Check = Callable[[Words], None]
HERE: dict[str, Check] = {
    ".": check_activate,
    "cat": anything,
    "mv": anything,
    ".venv/bin/pip": check_pip,
    ".venv/bin/portway": check_portway,
    ".venv/bin/pytest": check_pytest,
    ".venv/bin/python": check_python,
    "export": check_export,
    "make": check_make,
    "portway": check_portway,
    "promtool": check_promtool,
    "python3": check_python,
}
PROGRAMS: dict[str, dict[str, Check]] = {
    "sh": HERE,
    "sh aws": {
        **HERE,
        "aws": check_aws,
        "chmod": anything,
        "curl": anything,
        "git": anything,
        "nc": anything,
        "pyinfra": check_pyinfra,
        "rm": anything,
        "ssh": anything,
    },
    "sh node": {
        AGENT_PROGRAM: check_portway,
        "apt-get": anything,
        "cat": check_cat,
        "cut": anything,
        "df": anything,
        "echo": anything,
        "grep": anything,
        "journalctl": check_journalctl,
        "needrestart": anything,
        "portway-address": check_mover,
        "python3": anything,
        "rm": check_rm,
        "socat": check_socat,
        "sort": anything,
        "ss": anything,
        "systemctl": check_systemctl,
        "systemd-analyze": check_analyze,
        "tee": check_tee,
        "xargs": anything,
    },
}
"""The programs that each kind of block may call, and what is checked of their words."""


def check_command(kind: str, words: Words) -> None:
    """Raise Wrong if a command cannot be one that works in this kind of block."""
    program, *rest = words[1:] if words[0] in ("sudo", "PORTWAY_REDRAW=1") else words
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
