"""`pathPattern`, and what a spec may not say."""

from pathlib import Path
from typing import Any

import pytest

from penstock.local.git_repository import Repository
from services.source.generator.building import build
from services.source.generator.endings import BuildFailed, ValidationFailed
from services.source.generator.outputs import outputs_of, require_valid
from services.source.generator.path_glob import LONGEST_TOGETHER
from services.source.generator.tree import Tree
from services.source.generator.workbench import Piece, Workbench
from shared.resources.source import ArtifactGenerator
from tests.support.generators import GIT, copy, files_of, generate, generated, output
from tests.support.source_service import SourceService

APP = output("{app}-{env}", copy("@git/apps/{app}/{env}/**", "@artifact/"))
APPS = {
    "apps/Shop/prod/a.yaml": "a: 1\n",
    "apps/Shop/dev/a.yaml": "a: 2\n",
    "apps/blog/prod/a.yaml": "a: 3\n",
}


async def test_each_matching_directory_makes_an_artifact(
    service: SourceService, fleet: Repository
) -> None:
    await fleet.commit("apps", APPS, remove=["apps/shop/deploy.yaml", "apps/shop/values.yaml"])
    await service.request("GitRepository", "fleet", "1")
    await generate(service, APP, pathPattern="@git/apps/{app}/{env}")

    stored = await generated(service)

    names = ["blog-prod", "shop-dev", "shop-prod"]
    assert [entry["name"] for entry in stored["status"]["inventory"]] == names
    assert await files_of(service, "shop-dev") == {"a.yaml": b"a: 2\n"}
    labels = (await service.read("ExternalArtifact", "shop-dev"))["metadata"]["labels"]
    assert labels.items() >= {"app": "shop", "env": "dev"}.items()

    await fleet.commit("no dev", remove=["apps/Shop/dev/a.yaml"])
    await service.request("GitRepository", "fleet", "2")

    kept = ["blog-prod", "shop-prod"]
    await service.until(
        *("ArtifactGenerator", "parts"),
        lambda o: [entry["name"] for entry in o["status"]["inventory"]] == kept,
    )
    assert await service.cluster.read(service.ref("ExternalArtifact", "shop-dev")) is None


def a_generator(*artifacts: dict[str, Any], **spec: Any) -> ArtifactGenerator:
    return ArtifactGenerator.from_object(
        {
            "metadata": {"name": "parts", "namespace": "team-a", "generation": 1},
            "spec": {"sources": [GIT], **spec, "artifacts": list(artifacts)},
        }
    )


FINE = copy("@git/**", "@artifact/")
WRONG: list[tuple[ArtifactGenerator, str]] = [
    (a_generator(output("a", copy("@hg/**", "@artifact/"))), "spec.artifacts[0].copy[0].from: @hg"),
    (a_generator(output("a", FINE, revision="@hg")), "spec.artifacts[0].revision: @hg is not an"),
    (a_generator(output("a", FINE, originRevision="@hg")), "spec.artifacts[0].originRevision: @hg"),
    (a_generator(output("a", FINE), pathPattern="@hg/{x}"), "spec.pathPattern: @hg is not an"),
    (a_generator(output("a", FINE), pathPattern="@git/{x}/{x}"), "spec.pathPattern: '{x}/{x}'"),
    (a_generator(output("{y}", FINE), pathPattern="@git/{x}"), "spec.artifacts[0].name: '{y}'"),
    (a_generator(output("a", FINE), sources=[GIT, GIT]), "spec.sources: the alias 'git' is given"),
    (a_generator(output("a", FINE), output("a", FINE)), "spec.artifacts[1].name: 'a' comes twice"),
    (a_generator(output("a", FINE, copy("@git/{x}", "@artifact/"))), "spec.artifacts[0].copy[1]:"),
    (a_generator(output("a", copy("@git/../x", "@artifact/"))), "'../x' leads out of where"),
    (a_generator(output("a", copy("@git/x", "@artifact/../x"))), "'../x' leads out of where"),
    (a_generator(output("a", copy("@git/**", "@artifact/", exclude=["["]))), "is not closed"),
    (
        a_generator(output("a", *[copy("@git/**", "@artifact/", exclude=["*a" * 500] * 10)] * 99)),
        "the globs up to here are too long together",
    ),
]


@pytest.mark.parametrize(("generator", "problem"), WRONG)
def test_what_no_source_can_help_is_said_before_one_is_read(
    generator: ArtifactGenerator, problem: str
) -> None:
    with pytest.raises(ValidationFailed) as caught:
        require_valid(generator)

    assert problem in str(caught.value)


def test_only_sources_that_are_used_are_read() -> None:
    unused = GIT | {"alias": "unused"}
    pattern = GIT | {"alias": "pattern"}
    sources = [GIT, unused, pattern]

    assert require_valid(a_generator(output("a", FINE), sources=sources)) == {"git"}
    assert require_valid(
        a_generator(output("{x}", FINE), sources=sources, pathPattern="@pattern/{x}")
    ) == {"git", "pattern"}


PIECE = Piece(0, 0, b"", False)


@pytest.mark.parametrize(
    ("paths", "name", "problem"),
    [
        (["apps/a b/x"], "{app}", "{app} is 'a b', which cannot be a label's value"),
        (["apps/a_b/x"], "{app}", "directory 'apps/a_b': 'a_b' cannot be the name"),
        (["apps/a/x"], "a" * 250 + "-{app}-b", "cannot be the name"),
        (["elsewhere/a/x"], "{app}", "spec.pathPattern: '@git/apps/{app}' matches no directory"),
        ([f"apps/a{n}/x" for n in range(1001)], "{app}", "make more than 1000 artifacts"),
    ],
)
def test_what_a_directory_cannot_be_called_is_said(
    paths: list[str], name: str, problem: str
) -> None:
    generator = a_generator(output(name, FINE), pathPattern="@git/apps/{app}")

    with pytest.raises(BuildFailed) as caught:
        outputs_of(generator, {"git": Tree(dict.fromkeys(paths, PIECE))})

    assert problem in str(caught.value)


def test_two_directories_cannot_make_one_artifact() -> None:
    generator = a_generator(output("{app}", FINE), pathPattern="@git/*/{app}")

    with pytest.raises(ValidationFailed, match="'a' comes twice"):
        outputs_of(generator, {"git": Tree(dict.fromkeys(["1/a/x", "2/A/x"], PIECE))})


def test_an_artifact_that_would_be_empty_is_not_made(tmp_path: Path) -> None:
    generator = a_generator(output("a", FINE | {"exclude": ["*"]}))

    with Workbench(tmp_path) as bench, pytest.raises(BuildFailed, match="nothing is left"):
        build(generator, {"git": Tree({"x": bench.put(b"1")})}, bench)


def test_the_limit_of_globs_is_what_a_hundred_long_ones_are() -> None:
    generator = a_generator(output("a", copy("@git/**", "@artifact/", exclude=["x" * 80] * 100)))

    assert LONGEST_TOGETHER > 100 * 1024
    assert require_valid(generator) == {"git"}
