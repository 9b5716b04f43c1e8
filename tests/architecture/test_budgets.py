"""What the code promises about itself: sizes, names and doors."""

import ast
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CODE = [
    path for folder in ("services", "shared", "penstock") for path in (ROOT / folder).rglob("*.py")
]
TESTS = list((ROOT / "tests").rglob("*.py"))

LONGEST_FILE = 400
LONGEST_FUNCTION = 50
LONGEST_TEST = 50

# The only importers of what is dangerous or foreign.
DOORS = {
    "aiohttp_socks": "shared/web/proxies.py",
    "asyncssh": "services/source/git/ssh",
    "blake3": "shared/digests.py",
    "botocore": "shared/cloud/aws_session.py",
    "kubernetes_asyncio": "shared/cluster/connection.py",
    "nats": "shared/line.py",
    "pysequoia": "services/source/git/pgp_signature.py",
    "python_socks": "services/source/git/ssh_tunnel.py",
    "sigstore": "services/source/verification/",
    "tarfile": "shared/archive.py",
    "tuf": "services/source/verification/public_good.py",
}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "base", "handler", "misc"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", CODE + TESTS, ids=relative)
def test_no_file_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield f"{relative(path)}:{node.name}", node.end_lineno - node.lineno + 1


def test_no_function_is_too_long_to_see_at_once() -> None:
    too_long = [(name, n) for path in CODE for name, n in functions(path) if n > LONGEST_FUNCTION]
    too_long += [(name, n) for path in TESTS for name, n in functions(path) if n > LONGEST_TEST]

    assert too_long == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [relative(path) for path in CODE if not ast.get_docstring(ast.parse(path.read_text()))]

    assert silent == []


def test_no_module_hides_a_dependency_or_says_nothing_by_its_name() -> None:
    taken = set(packages_distributions()) - {"services", "shared", "penstock"}
    names = {path.stem for path in CODE} | {path.parent.name for path in CODE}

    assert names & (taken | FORBIDDEN_NAMES) == set()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_what_is_foreign_or_dangerous_is_behind_its_door() -> None:
    beside = [
        (relative(path), name)
        for path in CODE
        for name in imports(path)
        if name in DOORS and not relative(path).startswith(DOORS[name])
    ]

    assert beside == []
