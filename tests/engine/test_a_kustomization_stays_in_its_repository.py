"""What a kustomization may not do: leave the repository, fetch, run programs, call itself."""

import gzip
import tarfile
from pathlib import Path

import pytest

from shared.engine_messages import EngineLimit, EngineRefused, Overlay
from shared.resources.transforms import Patch
from tests.engine.conftest import Workshop
from tests.support.packing import Files, entry, pack_entries

CANARY = "the-canary-of-this-test"
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
OUTSIDE = [
    "resources: ['%s']",
    "components: ['%s']",
    "crds: ['%s']",
    "configurations: ['%s']",
    "generators: ['%s']",
    "transformers: ['%s']",
    "validators: ['%s']",
    "openapi: {path: '%s'}",
    "patches: [{path: '%s', target: {kind: ConfigMap}}]",
    "patchesStrategicMerge: ['%s']",
    "replacements: [{path: '%s'}]",
    "configMapGenerator: [{name: x, files: ['%s']}]",
    "configMapGenerator: [{name: x, files: ['key=%s']}]",
    "configMapGenerator: [{name: x, envs: ['%s']}]",
    "secretGenerator: [{name: x, envs: ['%s']}]",
]
REMOTE = [
    "https://example.com/base",
    "https://example.com/a.yaml",
    "ssh://git@example.com/acme/base.git",
    "git::https://example.com/acme/base",
    "git@example.com:acme/base.git",
    "github.com/acme/base?ref=main",
    "file:///etc",
]


@pytest.fixture
def canary(workshop: Workshop) -> Path:
    """A file beside the one folder that the engine may read, and one inside of it."""
    (workshop.folder / "canary").write_text(CANARY)
    outside = workshop.folder.parent / "canary"
    outside.write_text(CANARY)
    return outside


async def _refusal(workshop: Workshop, kustomization: str, more: Files | None = None) -> str:
    written = {"apps/kustomization.yaml": kustomization, "apps/a.yaml": CONFIG_MAP}
    with pytest.raises(EngineRefused) as refused:
        await workshop.build(written | dict(more or {}), "apps")
    return str(refused.value)


@pytest.mark.parametrize("field", OUTSIDE)
async def test_no_path_leads_out_of_the_repository(
    workshop: Workshop, canary: Path, field: str
) -> None:
    for target in (canary, workshop.folder / "canary"):
        for path in (str(target), "../../../../../.." + str(target)):
            kustomization = field % path + "\n"
            if not field.startswith("resources"):
                kustomization += "resources: [a.yaml]\n"

            message = await _refusal(workshop, kustomization)

            assert CANARY not in message


async def test_a_path_above_the_repository_is_not_its_root(workshop: Workshop) -> None:
    files = {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": CONFIG_MAP}
    files["apps/kustomization.yaml"] = "resources: [../../../]\n"

    with pytest.raises(EngineRefused, match=r"apps/kustomization.yaml: resources: .* not exist"):
        await workshop.build(files, "apps")


@pytest.mark.parametrize("field", OUTSIDE)
async def test_nothing_is_downloaded(workshop: Workshop, field: str) -> None:
    kustomization = field % "https://example.com/x.yaml" + "\n"
    if not field.startswith("resources"):
        kustomization += "resources: [a.yaml]\n"

    message = await _refusal(workshop, kustomization)

    assert message.startswith(
        f"apps/kustomization.yaml: {field.split(':')[0].replace('Strategic', 'Strategic')}"
    )
    assert "is remote" in message


@pytest.mark.parametrize("address", REMOTE)
async def test_remote_bases_are_refused_by_name(workshop: Workshop, address: str) -> None:
    message = await _refusal(workshop, f"resources: [a.yaml, '{address}']\n")

    assert message.startswith(f'apps/kustomization.yaml: resources: "{address}" is remote')


async def test_a_remote_base_of_a_base_is_refused_by_name(workshop: Workshop) -> None:
    files = {
        "apps/kustomization.yaml": "resources: [../base]\n",
        "base/kustomization.yaml": "components: ['https://example.com/acme']\n",
    }

    with pytest.raises(EngineRefused, match=r"^base/kustomization.yaml: components: .* is remote"):
        await workshop.build(files, "apps")


async def test_a_remote_component_of_the_spec_is_refused(workshop: Workshop) -> None:
    overlay = Overlay(components=("https://example.com/acme",), ignore_missing_components=True)

    with pytest.raises(EngineRefused, match="is remote"):
        await workshop.build({"a.yaml": CONFIG_MAP}, overlay=overlay)


FUNCTION = """\
apiVersion: acme.io/v1
kind: Generate
metadata:
  name: x
  annotations:
    config.kubernetes.io/function: |
      %s
"""
PROGRAMS = {
    "a program": (FUNCTION % "exec: {path: ./run.sh}", "external plugins disabled"),
    "a container": (FUNCTION % "container: {image: example.com/x}", "external plugins disabled"),
    "a plugin": (
        "apiVersion: acme.io/v1\nkind: Run\nmetadata: {name: x}\n",
        "external plugins disabled",
    ),
    "a chart": (
        "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}\n"
        "name: web\nrepo: https://example.com\n",
        "use a HelmRelease",
    ),
}


@pytest.mark.parametrize("field", ["generators", "transformers", "validators"])
@pytest.mark.parametrize(("plugin", "reason"), PROGRAMS.values(), ids=PROGRAMS)
async def test_nothing_is_run(workshop: Workshop, field: str, plugin: str, reason: str) -> None:
    message = await _refusal(
        workshop,
        f"resources: [a.yaml]\n{field}: [plugin.yaml]\n",
        {"apps/plugin.yaml": plugin},
    )

    assert reason in message


async def test_charts_are_not_inflated(workshop: Workshop) -> None:
    message = await _refusal(workshop, "helmCharts: [{name: web, repo: 'https://example.com'}]\n")

    assert message == "apps/kustomization.yaml: helmCharts are not built here; use a HelmRelease"


@pytest.mark.parametrize(
    "files",
    [
        {"apps/kustomization.yaml": "resources: ['.']\n"},
        {
            "apps/kustomization.yaml": "resources: ['../base']\n",
            "base/kustomization.yaml": "resources: ['../apps']\n",
        },
    ],
    ids=["itself", "each other"],
)
async def test_a_kustomization_cannot_contain_itself(
    workshop: Workshop, files: dict[str, str]
) -> None:
    with pytest.raises(EngineRefused, match="cycle detected"):
        await workshop.build(files, "apps")


async def test_a_chain_of_five_thousand_bases_ends(workshop: Workshop) -> None:
    files = {f"b{n}/kustomization.yaml": f"resources: [../b{n + 1}]\n" for n in range(5000)}

    built = await workshop.build(
        files
        | {"b5000/a.yaml": CONFIG_MAP}
        | {"b5000/kustomization.yaml": "resources: [a.yaml]\n"},
        "b0",
    )

    assert len(built.objects) == 1


async def test_a_missing_path_is_named(workshop: Workshop) -> None:
    with pytest.raises(EngineRefused, match=r"^kustomization path not found: apps/web$"):
        await workshop.build({"a.yaml": CONFIG_MAP}, "./apps/web/")


async def test_a_missing_resource_is_named(workshop: Workshop) -> None:
    message = await _refusal(workshop, "resources: [a.yaml, b.yaml]\n")

    assert message == 'apps/kustomization.yaml: resources: "b.yaml" does not exist in the source'


async def test_a_file_that_is_no_manifest_is_named(workshop: Workshop) -> None:
    with pytest.raises(EngineRefused, match=r"Kubernetes YAML from apps/values.yaml"):
        await workshop.build({"apps/a.yaml": CONFIG_MAP, "apps/values.yaml": "replicas: 2\n"})


async def test_two_kustomization_files_are_named(workshop: Workshop) -> None:
    message = await _refusal(
        workshop, "resources: [a.yaml]\n", {"apps/Kustomization": "resources: []\n"}
    )

    assert message == (
        "more than one kustomization file: apps/kustomization.yaml, apps/Kustomization"
    )


async def test_an_error_names_paths_as_the_repository_has_them(workshop: Workshop) -> None:
    base = {"apps/b/kustomization.yaml": "resources: [../a.yaml, ../a.yaml]\n"}

    message = await _refusal(workshop, "resources: [b]\n", base)

    assert "may not add resource with an already registered id" in message
    assert "path 'apps/b'" in message


async def test_a_patch_without_a_target_is_an_error(workshop: Workshop) -> None:
    with pytest.raises(EngineRefused, match="no matches for Id"):
        await workshop.build(
            {"a.yaml": CONFIG_MAP},
            overlay=Overlay(patches=(Patch(patch=CONFIG_MAP.replace("name: a", "name: b")),)),
        )


ODD_ENTRIES = {
    "above": (entry("../a.yaml", CONFIG_MAP), "leads out of it"),
    "inside and out": (entry("a/../../a.yaml", CONFIG_MAP), "leads out of it"),
    "absolute": (entry("/a.yaml", CONFIG_MAP), "absolute path"),
    "backslash": (entry("..\\a.yaml", CONFIG_MAP), "malformed path"),
    "a device": (entry("null", type=b"3"), "neither file nor directory"),
    "a pipe": (entry("pipe", type=b"6"), "neither file nor directory"),
    "a file below a file": (entry("a.yaml/b.yaml", CONFIG_MAP), "both as a file and as a dir"),
    "the same file": (entry("./a.yaml", CONFIG_MAP), "twice"),
}


@pytest.mark.parametrize(("odd", "reason"), ODD_ENTRIES.values(), ids=ODD_ENTRIES)
async def test_an_archive_with_odd_entries_is_refused(
    workshop: Workshop, odd: tuple[tarfile.TarInfo, bytes], reason: str
) -> None:
    archive = pack_entries(workshop.folder, [entry("a.yaml", CONFIG_MAP), odd])

    with pytest.raises(EngineRefused, match=reason):
        await workshop.engine.load_tree("odd", archive)


async def test_links_in_an_archive_lead_nowhere(workshop: Workshop, canary: Path) -> None:
    links = [
        entry("link.yaml", type=b"2", linkname=str(canary)),
        entry("hard.yaml", type=b"1", linkname="a.yaml"),
        entry("up", type=b"2", linkname="../.."),
    ]
    archive = pack_entries(workshop.folder, [entry("a.yaml", CONFIG_MAP), *links])

    loaded = await workshop.engine.load_tree("links", archive)

    assert loaded.files == 1


async def test_an_archive_that_inflates_is_refused(workshop: Workshop) -> None:
    zeros = "\0" * (12 << 20)
    archive = pack_entries(workshop.folder, [entry("a", zeros), entry("b", zeros)])

    with pytest.raises(EngineLimit, match="the archive holds more than 20 MiB"):
        await workshop.engine.load_tree("bomb", archive, limit=20 << 20)


async def test_an_archive_of_headers_is_refused(workshop: Workshop) -> None:
    comment = "900000 comment=" + "x" * (900_000 - 16) + "\n"
    headers = [entry("pax_global_header", comment, type=b"g")] * 50
    archive = pack_entries(workshop.folder, headers)

    with pytest.raises(EngineLimit, match="the archive unpacks to more than it may"):
        await workshop.engine.load_tree("headers", archive, limit=20 << 20)


async def test_an_archive_of_a_million_entries_is_refused(workshop: Workshop) -> None:
    header = entry("empty")[0].tobuf()
    archive = workshop.folder / "many.tgz"
    archive.write_bytes(gzip.compress(header * 1_000_000, compresslevel=1))

    with pytest.raises(EngineLimit, match="more than 100000 entries"):
        await workshop.engine.load_tree("many", archive)
