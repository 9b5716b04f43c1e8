"""What the Dockerfile names exists, and what services import is among what it installs."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from penstock.lockfile import CHECKOUT, stanzas
from penstock.toolchain import RECIPES
from tests.support.manifests import SERVICES, container, environment, pods

DOCKERFILE = (CHECKOUT / "deploy" / "Dockerfile").read_text()
SENT = {
    line.removeprefix("!")
    for line in (CHECKOUT / "deploy" / "Dockerfile.dockerignore").read_text().split()
    if line.startswith("!")
}
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
OURS = {"services", "shared"}


def copied() -> list[str]:
    """From the checkout, not from another stage."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists_and_is_sent_to_the_builder(source: str) -> None:
    path = source.rstrip("/")
    assert (CHECKOUT / path).exists()
    assert {path, path.partition("/")[0]} & SENT


def test_nothing_is_installed_that_the_lock_does_not_hold() -> None:
    commands = re.split(r"&&|\n", DOCKERFILE.replace("\\\n", ""))
    uv, packages = (command.split() for command in commands if "pip install" in command)
    assert {"--require-hashes", "-r", "uv.lock"} <= set(uv)
    assert "--hash=sha256:" in stanzas()["uv"]
    # uv holds every package to the hashes that its constraint carries.
    assert packages[-6:-2] == ["--constraint", "requirements.lock", "-r", "pyproject.toml"]
    assert packages[-2:] == ["--extra", "source"]


def test_the_builders_are_new_enough() -> None:
    go, python = re.findall(r"^ARG (?:GO|PYTHON)=(.+)$", DOCKERFILE, re.MULTILINE)
    assert RECIPES["engine"].needed_go.startswith(go)
    assert PROJECT["requires-python"] == f">={python}"


def test_the_engine_is_where_the_services_look_for_it() -> None:
    paths = {
        environment(pod)["PENSTOCK_ENGINE"]["value"]
        for pod in pods().values()
        if "PENSTOCK_ENGINE" in environment(pod)
    }
    assert paths == {"/usr/local/bin/penstock-engine"}
    assert "COPY --from=engine /penstock-engine /usr/local/bin/penstock-engine" in DOCKERFILE


def test_pods_run_as_the_images_user() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    for name in SERVICES:
        pod = pods()[name]["spec"]["securityContext"]
        assert (str(pod["runAsUser"]), str(pod["runAsGroup"])) == user
        assert container(pods()[name])["image"] == "penstock:latest"


def test_services_import_nothing_that_is_not_installed() -> None:
    lines = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["source"]
    installed = {re.split(r"[^\w-]", line)[0] for line in lines}
    distributions = packages_distributions()
    missing = {
        f"{file.relative_to(CHECKOUT)}: {name}"
        for file, name in imports()
        if not {normal(owner) for owner in distributions.get(name, ())}
        & set(map(normal, installed))
    }
    assert missing == set()


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def imports() -> Iterator[tuple[Path, str]]:
    """Packages of others that services and shared import."""
    for folder in OURS:
        for file in (CHECKOUT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                for module in modules(node):
                    name = module.partition(".")[0]
                    if name not in OURS | sys.stdlib_module_names:
                        yield file, name


def modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
