"""Imports go down: each package's floor is in its tree's docstring, and holds."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREES = ("portway", "acceptance", "lab")

OUTSIDE: dict[str, set[str]] = {
    "portway.contract": set(),
    "portway.errors": set(),
    "portway.model": {"pydantic", "pydantic_core"},
    "portway.aws": {"boto3", "botocore", "pydantic", "requests", "yaml"},
    "portway.chef": set(),
    "portway.haproxy_files": set(),
    "portway.render": {"jinja2", "pydantic"},
    "portway.ops": {"gevent", "paramiko", "pyinfra"},
    "portway.load_balancers": {"gevent", "pyinfra"},
    "portway.database": {"pg8000", "pydantic", "pymysql", "pyinfra", "scramp"},
    "portway.application": {"gevent", "pydantic", "pyinfra", "requests"},
    "portway.run": {"click", "gevent", "pyinfra"},
    "portway.agent": {"packaging"},
    "portway.cli": {
        "click",
        "pydantic",
        "pydantic_core",
        "pyinfra",
        "pyinfra_cli",
        "rich",
    },
    "portway.node": {"boto3", "botocore"},
    "portway": set(),
}
"""What each package may import besides the standard library and this project."""
INSTALLER = "portway.node.releases"
ALONE = {
    INSTALLER: "application nodes have no package for it",
    "portway.node.agent": "it finds the packages",
}
"""Packages that must do with less than the one they are in: only the standard library,
and for the installer the contract and what is beside it."""

FORBIDDEN = {
    ("portway.ops", "portway.aws"): "an operation changes a node and asks nobody else",
    ("lab", "portway"): "the lab judges Portway, so it must not share its mistakes",
    ("acceptance", "lab"): "it is for AWS, and users may have no lab",
    ("portway", "acceptance"): "it uses Portway, and nothing uses it",
    ("lab", "acceptance"): "it uses Portway, and nothing uses it",
}


@dataclass(frozen=True)
class Import:
    """One import of one module."""

    where: str
    """File and line."""
    module: str
    target: str


def floors(tree: str, root: Path) -> dict[str, int]:
    """The floor of each package of a tree, the lowest being 0, from its docstring."""
    docstring = ast.get_docstring(ast.parse((root / tree / "__init__.py").read_text()))
    lines = re.findall(r"^    ([a-z_, ]+)$", docstring or "", re.MULTILINE)
    return {
        f"{tree}.{name.strip()}": floor
        for floor, line in enumerate(reversed(lines))
        for name in line.split(",")
    }


def imports(tree: str, root: Path) -> Iterator[Import]:
    """Every import in a tree, wherever in a module it is."""
    for path in sorted((root / tree).rglob("*.py")):
        relative = path.relative_to(root)
        parts = relative.with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                inside = parts[: -node.level]
                targets = [".".join((*inside, node.module or "", "x"))]
            elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
                targets = ["an import at run time"]
            else:
                continue
            for target in targets:
                yield Import(f"{relative}:{node.lineno}", module, target)


def package_of(module: str) -> str:
    """The package on a floor that a module is in: the first two parts of its name."""
    return ".".join(module.split(".")[:2])


def complaints(tree: str, root: Path) -> list[str]:
    """A sentence for each import that goes up, sideways or where it must not."""
    known = floors(tree, root)
    found = []
    for item in imports(tree, root):
        package, target = package_of(item.module), package_of(item.target)
        if item.module in (tree, f"{tree}.__main__"):  # above all floors
            package = tree
        elif package not in known:
            found.append(f"{item.where}: {package} has no floor in {tree}/__init__")
            continue
        reason = alone(item) or why_not(package, target, {tree: len(known), **known})
        if reason:
            found.append(f"{item.where}: {package} imports {item.target}: {reason}")
    return found


def alone(item: Import) -> str:
    """Why a module that is copied with little else must not import this."""
    for package, reason in ALONE.items():
        beside = (f"{package}.", "portway.contract.")
        is_allowed = item.target.split(".")[0] in sys.stdlib_module_names
        if f"{item.module}.".startswith(f"{package}."):
            return "" if is_allowed or item.target.startswith(beside) else reason
    return ""


def why_not(package: str, target: str, known: dict[str, int]) -> str:
    """Why a package must not import another; empty if it may."""
    for (who, what), reason in FORBIDDEN.items():
        if f"{package}.".startswith(f"{who}.") and f"{target}.".startswith(f"{what}."):
            return reason
    top, tree = target.split(".", maxsplit=1)[0], package.split(".", maxsplit=1)[0]
    if target == "an import at run time":
        return "a reader and this test can only follow import statements"
    if top in sys.stdlib_module_names or target == package:
        return ""
    if top != tree:
        allowed = OUTSIDE.get(package, {top})
        few = ", ".join(sorted(allowed)) or "nothing from outside"
        return "" if top in allowed else f"it may import {few}"
    rules = {
        "import from a package, not from the whole tree": target not in known,
        "node programs run on nodes; what both sides need is in contract": target
        == "portway.node",
        "a node has nothing of Portway but node and contract": package == "portway.node"
        and target != "portway.contract",
        "its floor is not below that of the importing package": known.get(target, 0)
        >= known[package],
    }
    return next((reason for reason, broken in rules.items() if broken), "")


@pytest.mark.parametrize("tree", TREES)
def test_imports_go_down(tree: str) -> None:
    assert complaints(tree, ROOT) == []


@pytest.mark.parametrize("tree", TREES)
def test_every_module_is_in_a_package(tree: str) -> None:
    modules = {path.name for path in (ROOT / tree).glob("*.py")}
    assert modules - {"__main__.py"} <= {"__init__.py", "errors.py"}


@pytest.mark.parametrize("tree", TREES)
def test_every_package_says_what_it_is_for(tree: str) -> None:
    for path in (ROOT / tree).rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text, f"{path.relative_to(ROOT)} does not say what the package is for"


@pytest.mark.parametrize(
    ("module", "statement", "expected"),
    [
        ("model/stack.py", "import pyinfra", "may import pydantic"),
        ("model/build.py", "from portway.ops import facts", "floor is not below"),
        ("render/files.py", "from portway.aws import client", "floor is not below"),
        ("contract/paths.py", "import requests", "nothing from outside"),
        ("node/address/mover.py", "from portway import errors", "nothing of Portway"),
        ("ops/facts.py", "from portway.aws import reading", "asks nobody else"),
        ("run/run.py", "from portway.node import host", "run on nodes"),
        ("errors.py", "from portway.model import stack", "floor is not below"),
        ("model/login.py", "from portway import Stack", "from a package"),
        ("model/login.py", "from ..ops import facts", "floor is not below"),
        ("model/login.py", "__import__('pyinfra')", "import statements"),
        ("node/releases/unpacking.py", "import boto3", "no package for it"),
        ("__init__.py", "import pyinfra", "nothing from outside"),
    ],
)
def test_import_that_goes_up_is_named_with_the_reason(
    module: str, statement: str, expected: str, tmp_path: Path
) -> None:
    for name in {"__init__.py", module}:  # the others have nothing to do with it
        copy = tmp_path / "portway" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((ROOT / "portway" / name).read_text())
    planted = tmp_path / "portway" / module
    planted.write_text(f"{planted.read_text()}\n\ndef _() -> None:\n    {statement}\n")
    (sentence,) = complaints("portway", tmp_path)
    assert sentence.startswith(f"portway/{module}:")
    assert expected in sentence


def test_import_of_portway_by_the_lab_is_named(tmp_path: Path) -> None:
    (tmp_path / "lab" / "plan").mkdir(parents=True)
    docstring = "The lab.\n\nIts floors:\n\n    plan\n"
    (tmp_path / "lab" / "__init__.py").write_text(f'"""{docstring}"""\n')
    planted = tmp_path / "lab" / "plan" / "names.py"
    planted.write_text("from portway.model.stack import Stack\n")
    (tmp_path / "lab" / "__main__.py").write_text("import portway.errors\n")
    sentences = complaints("lab", tmp_path)
    assert len(sentences) == 2
    assert all("judges Portway" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("tree", "statement", "expected"),
    [
        ("acceptance", "from lab.plan import facts", "users may have no lab"),
        ("portway", "from acceptance.plan import items", "nothing uses it"),
        ("lab", "import acceptance.plan.items", "nothing uses it"),
    ],
)
def test_acceptance_is_for_users_and_nothing_uses_it(
    tree: str, statement: str, expected: str, tmp_path: Path
) -> None:
    module = "plan/items.py" if tree == "acceptance" else "errors.py"
    planted = tmp_path / tree / module
    planted.parent.mkdir(parents=True)
    planted.write_text(f"{statement}\n")
    docstring = (ROOT / tree / "__init__.py").read_text()
    (tmp_path / tree / "__init__.py").write_text(docstring)
    (sentence,) = complaints(tree, tmp_path)
    assert expected in sentence


FRAMEWORKS = {"pyinfra", "boto3", "botocore", "pg8000", "pymysql", "gevent"}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        # pydantic is most of an import's time; only who reads files needs it.
        ("portway.model.build", FRAMEWORKS | {"pydantic"}),
        ("portway.render.application", FRAMEWORKS),
    ],
)
def test_pure_packages_load_no_framework(module: str, unwanted: set[str]) -> None:
    """Also not through something that they import."""
    importlib.import_module(module)  # a clear error if it does not exist
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT)
    assert not {name.split(".")[0] for name in loaded.decode().split()} & unwanted
