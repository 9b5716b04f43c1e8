"""A chart may not reach the network, other files, or anything outside of its archive."""

import json
import tarfile
from pathlib import Path

import pytest

from shared.engine_messages import EngineLimit, EngineRefused, ReleaseRequest, RenderRequest
from tests.engine.conftest import Workshop
from tests.support.packing import entry, pack_chart, pack_entries

CHART = "apiVersion: v2\nname: web\nversion: 1.2.3\n"
TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n"
PLAIN = [entry("web/Chart.yaml", CHART), entry("web/templates/a.yaml", TEMPLATE)]


async def _render(workshop: Workshop, archive: Path) -> None:
    release = ReleaseRequest(name="web", namespace="apps")
    await workshop.engine.render(RenderRequest(chart=str(archive), release=release))


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (entry("web/../../a.yaml", TEMPLATE), "leads out of it"),
        (entry("../web/a.yaml", TEMPLATE), "leads out of it"),
        (entry("/web/a.yaml", TEMPLATE), "absolute path"),
        (entry("web\\..\\a.yaml", TEMPLATE), "malformed path"),
        (entry("Chart.yaml", CHART), "not in the chart's directory"),
        (entry("web/Chart.lock", type=b"2", linkname="/etc/passwd"), "holds a link"),
        (entry("web/templates/b.yaml", type=b"1", linkname="web/Chart.yaml"), "holds a link"),
        (entry("web/templates/pipe", type=b"6"), "neither file nor directory"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0].name,
)
async def test_an_archive_with_odd_entries_is_refused(
    workshop: Workshop, odd: tuple[tarfile.TarInfo, bytes], reason: str
) -> None:
    with pytest.raises(EngineRefused, match=reason):
        await _render(workshop, pack_entries(workshop.folder, [*PLAIN, odd]))


async def test_an_archive_inside_of_charts_is_looked_at_too(workshop: Workshop) -> None:
    hostile = [entry("db/Chart.yaml", CHART), entry("db/a", type=b"2", linkname="/etc/passwd")]
    packed = pack_entries(workshop.folder, hostile).read_bytes()

    archive = pack_entries(workshop.folder, [*PLAIN, entry("web/charts/db-1.0.0.tgz", packed)])

    with pytest.raises(EngineRefused, match=r"charts/db-1.0.0.tgz: the archive holds a link"):
        await _render(workshop, archive)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../web", "/etc"])
async def test_a_chart_has_a_name_that_is_no_path(workshop: Workshop, name: str) -> None:
    files = {"Chart.yaml": CHART.replace("name: web", f"name: {name!r}")}

    with pytest.raises(EngineRefused, match=r"chart.metadata.name"):
        await workshop.render(files)


@pytest.mark.parametrize(
    "size", [11 << 20, 6 << 20], ids=["the archive is too large", "a file is too large"]
)
async def test_a_chart_has_a_size(workshop: Workshop, size: int) -> None:
    noise = "".join(chr(33 + (n * n * 7919 >> 3) % 90) for n in range(4096)) * (size // 4096)

    with pytest.raises(EngineLimit, match="is larger than"):
        await workshop.render({"Chart.yaml": CHART, "noise": noise})


REFERENCES = [
    "http://127.0.0.1:9/schema.json",
    "https://example.com/schema.json#/definitions/x",
    "file:///etc/passwd",
    "other.json",
    "../../../../etc/passwd",
]


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("folder", ["", "charts/db/"], ids=["the chart", "its subchart"])
async def test_a_schema_refers_to_nothing_else(
    workshop: Workshop, reference: str, folder: str
) -> None:
    files = {
        "Chart.yaml": CHART,
        "charts/db/Chart.yaml": CHART.replace("web", "db"),
        f"{folder}values.schema.json": json.dumps({"properties": {"a": {"$ref": reference}}}),
    }

    with pytest.raises(EngineRefused, match="a schema may refer to itself only"):
        await workshop.render(files, {"a": 1, "db": {"a": 1}})


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}},
        {
            "$id": "https://example.com/web.json",
            "$defs": {"n": {"$id": "/n", "type": "integer"}},
            "properties": {"a": {"$ref": "https://example.com/n"}},
        },
        {"$schema": "http://json-schema.org/schema#", "properties": {"a": {"type": "integer"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "required": ["a"]},
    ],
    ids=["a definition", "a name of its own", "the standard", "a draft of the standard"],
)
async def test_a_schema_may_refer_to_itself_and_the_standard(
    workshop: Workshop, schema: dict[str, object]
) -> None:
    files = {
        "Chart.yaml": CHART,
        "values.schema.json": json.dumps(schema),
        "templates/a.yaml": TEMPLATE,
    }

    rendered = await workshop.render(files, {"a": 1})

    assert len(rendered.objects) == 1


async def test_templates_find_no_cluster_and_no_network(workshop: Workshop) -> None:
    data = """data:
  address: {{ getHostByName "localhost" | quote }}
  secret: {{ lookup "v1" "Secret" "kube-system" "canary" | toJson | quote }}
  secrets: {{ lookup "v1" "Secret" "" "" | toJson | quote }}
  file: {{ .Files.Get "../../../../../../../../etc/passwd" | quote }}
  glob: {{ range $path, $_ := .Files.Glob "/**" }}{{ $path }}{{ end }}
"""

    rendered = await workshop.render({"Chart.yaml": CHART, "templates/a.yaml": TEMPLATE + data})

    assert rendered.objects[0].object["data"] == {
        "address": "",
        "secret": "{}",
        "secrets": "{}",
        "file": "",
        "glob": None,
    }


@pytest.mark.parametrize("function", ["env", "expandenv"])
async def test_templates_see_no_environment(workshop: Workshop, function: str) -> None:
    files = {"Chart.yaml": CHART, "templates/a.yaml": f'{{{{ {function} "PATH" }}}}'}

    with pytest.raises(EngineRefused, match=f'function "{function}" not defined'):
        await workshop.render(files)


async def test_templates_know_the_worlds_time_zones(workshop: Workshop) -> None:
    moment = '{{ dateInZone "15:04" (toDate "2006-01-02" "2026-07-01") "Europe/Berlin" }}'
    files = {"Chart.yaml": CHART, "templates/a.yaml": TEMPLATE + f"data: {{at: '{moment}'}}\n"}

    rendered = await workshop.render(files)

    assert rendered.objects[0].object["data"] == {"at": "02:00"}


async def test_a_chart_outside_of_the_readable_folder_is_out_of_reach(workshop: Workshop) -> None:
    outside = pack_chart(workshop.folder.parent, {"Chart.yaml": CHART})
    (workshop.folder / "link.tgz").symlink_to(outside)
    climbing = workshop.folder / ".." / outside.name

    for path in (outside, climbing, workshop.folder / "link.tgz"):
        with pytest.raises(Exception, match=r"not below|escapes") as refused:
            await _render(workshop, path)
        assert type(refused.value).__name__ == "EngineUnavailable"
