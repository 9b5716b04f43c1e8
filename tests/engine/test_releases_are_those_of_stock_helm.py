"""Whatever a chart holds, the engine renders what stock helm prints, and Helm's own release."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest

from shared.engine_messages import Capabilities, EngineRefused, ReleaseRequest
from tests.engine.conftest import Stock, Workshop
from tests.support.packing import Files, pack_chart

CHART = "apiVersion: v2\nname: web\nversion: 1.2.3\nappVersion: '9'\n"
CRD = (
    "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.b.c}\n"
)
WEB = {
    "Chart.yaml": CHART,
    "values.yaml": "image: {repository: nginx, tag: '1.27'}\nport: 80\nbig: 12345678\nempty: {}\n",
    "values.schema.json": '{"properties": {"port": {"type": "integer"}}}',
    "templates/_helpers.tpl": '{{ define "labels" }}app: {{ .Chart.Name }}{{ end }}',
    "templates/NOTES.txt": "Visit {{ .Release.Name }}.{{ .Release.Namespace }}\n",
    "templates/web.yaml": """\
apiVersion: v1
kind: Service
metadata: {name: web, labels: {{ "{" }}{{ include "labels" . }}{{ "}" }}}
spec: {ports: [{port: {{ .Values.port }}}]}
---
# a comment
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  annotations:
    big: {{ .Values.big | quote }}
    sum: {{ .Files.Get "config/app.ini" | sha256sum }}
    who: {{ .Release.Service }} {{ .Capabilities.KubeVersion.Major }}
    revision: {{ .Release.Revision | quote }}
    upgrade: {{ .Release.IsUpgrade | quote }}
spec:
  template:
    spec:
      containers:
      - name: web
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
""",
    "templates/config.yaml": """\
{{- if .Capabilities.APIVersions.Has "acme.io/v1" }}
apiVersion: v1
kind: ConfigMap
metadata: {name: acme}
{{- end }}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}
""",
    "templates/hooks.yaml": """\
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-weight: "-5"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
---
apiVersion: v1
kind: Pod
metadata:
  name: probe
  annotations: {helm.sh/hook: test}
""",
    "config/app.ini": "a = 1\n",
    "crds/crd.yaml": CRD,
    "charts/cache/Chart.yaml": "apiVersion: v2\nname: cache\nversion: 0.1.0\n",
    "charts/cache/values.yaml": "size: 1\n",
    "charts/cache/templates/cache.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: cache}\n"
    "stringData: {size: '{{ .Values.size }}', global: '{{ .Values.global.x }}'}\n",
}
VALUES = {"image": {"tag": "2"}, "cache": {"size": 5}, "global": {"x": "y"}, "empty": None}


def _expanded(documents: list[Any]) -> list[Any]:
    return [item for each in documents for item in each.get("items", [each])]


async def test_a_chart_renders_to_what_helm_prints(workshop: Workshop, stock: Stock) -> None:
    capabilities = Capabilities(kube_version="v1.31.2")
    (stock.folder / "values.json").write_text(json.dumps(VALUES))

    rendered = await workshop.render(WEB, VALUES, capabilities=capabilities)

    values = f"--values={stock.folder}/values.json"
    printed = stock.template(WEB, values, "--kube-version=v1.31.2")
    hooks = [hook.object for hook in rendered.hooks]
    assert [each.object for each in rendered.objects] + hooks == _expanded(printed)
    assert len(hooks) == 2


async def test_objects_come_in_helms_order_with_their_templates(workshop: Workshop) -> None:
    rendered = await workshop.render(WEB, VALUES)

    assert [(each.object["kind"], each.source) for each in rendered.objects] == [
        ("Secret", "web/charts/cache/templates/cache.yaml"),
        ("Service", "web/templates/web.yaml"),
        ("Deployment", "web/templates/web.yaml"),
        ("ConfigMap", "web/templates/config.yaml"),
        ("ConfigMap", "web/templates/config.yaml"),
    ]


async def test_hooks_crds_and_notes_come_apart(workshop: Workshop) -> None:
    rendered = await workshop.render(WEB, VALUES)

    job = next(hook for hook in rendered.hooks if hook.kind == "Job")
    assert (job.events, job.weight) == (("pre-install", "pre-upgrade"), -5)
    assert job.delete_policies == ("before-hook-creation", "hook-succeeded")
    assert [(crd.name, len(crd.objects)) for crd in rendered.crds] == [("web/crds/crd.yaml", 1)]
    assert rendered.notes == "Visit web.apps\n"
    chart = rendered.chart
    assert (chart.name, chart.version, chart.app_version) == ("web", "1.2.3", "9")


async def test_the_cluster_is_what_the_request_says(workshop: Workshop) -> None:
    served = Capabilities(kube_version="v1.33.4", api_versions=("v1", "acme.io/v1"))

    rendered = await workshop.render(WEB, VALUES, capabilities=served)

    names = [each.object["metadata"]["name"] for each in rendered.objects]
    assert "acme" in names
    with pytest.raises(EngineRefused, match=r"incompatible with Kubernetes v1.33.4"):
        await workshop.render(
            WEB | {"Chart.yaml": CHART + "kubeVersion: '>=1.40.0'\n"}, VALUES, capabilities=served
        )


async def test_a_first_release_is_as_helm_stores_it(workshop: Workshop) -> None:
    rendered = await workshop.render(WEB, VALUES)

    release = json.loads(bytes(rendered.release))
    assert (release["name"], release["namespace"], release["version"]) == ("web", "apps", 1)
    assert release["info"]["status"] == "pending-install"
    assert release["info"]["description"] == "Initial install underway"
    assert release["info"]["first_deployed"] == release["info"]["last_deployed"]
    assert release["config"] == VALUES
    assert release["apply_method"] == "ssa"
    assert release["chart"]["metadata"]["version"] == "1.2.3"
    template = next(t for t in release["chart"]["templates"] if t["name"] == "templates/web.yaml")
    assert base64.b64decode(template["data"]).decode() == WEB["templates/web.yaml"]
    assert "# Source: web/templates/web.yaml" in release["manifest"]
    assert [hook["name"] for hook in release["hooks"]] == ["probe", "migrate"]


async def test_an_upgrade_follows_the_previous_release(workshop: Workshop) -> None:
    first = await workshop.render(WEB, VALUES)
    wanted = ReleaseRequest(
        name="web", namespace="apps", revision=7, is_upgrade=True, previous=first.release
    )

    rendered = await workshop.render(WEB, {"port": 81}, wanted, client_side_apply=True)

    release, before = (json.loads(bytes(each.release)) for each in (rendered, first))
    deployment = next(o.object for o in rendered.objects if o.object["kind"] == "Deployment")
    assert (release["version"], release["info"]["status"]) == (7, "pending-upgrade")
    assert release["info"]["first_deployed"] == before["info"]["first_deployed"]
    assert release["config"] == {"port": 81}
    assert release["apply_method"] == "csa"
    assert deployment["metadata"]["annotations"]["revision"] == "7"
    assert deployment["metadata"]["annotations"]["upgrade"] == "true"


async def test_an_upgrade_without_values_has_none(workshop: Workshop) -> None:
    first = await workshop.render(WEB, VALUES)
    wanted = ReleaseRequest(
        name="web", namespace="apps", revision=2, is_upgrade=True, previous=first.release
    )

    rendered = await workshop.render(WEB, {}, wanted)
    reused = await workshop.render(WEB, {"global": {"x": 1}}, wanted, reuse_values=True)

    assert json.loads(bytes(rendered.release)).get("config", {}) == {}
    assert json.loads(bytes(reused.release))["config"] == VALUES | {"global": {"x": 1}}


async def test_labels_are_part_of_the_manifest_and_of_hooks(workshop: Workshop) -> None:
    labels = {"helm.toolkit.fluxcd.io/name": "web", "number": "1"}

    plain = await workshop.render(WEB, VALUES)
    labelled = await workshop.render(WEB, VALUES, labels=labels, annotations={"a": "b"})

    found = [each.object for each in labelled.objects] + [hook.object for hook in labelled.hooks]
    assert all(labels.items() <= each["metadata"]["labels"].items() for each in found)
    assert all(each["metadata"]["annotations"]["a"] == "b" for each in found)
    assert _by_name(_bare(each.object) for each in labelled.objects) == _by_name(
        _bare(each.object) for each in plain.objects
    )
    assert json.loads(bytes(labelled.release))["manifest"].count("number: '1'") == 5


def _bare(manifest: dict[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in manifest["metadata"].items() if k not in {"labels", "annotations"}}
    return manifest | {"metadata": metadata}


def _by_name(objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(objects, key=lambda each: (each["kind"], each["metadata"]["name"]))


async def test_crds_are_part_of_the_manifest_when_asked_for(workshop: Workshop) -> None:
    rendered = await workshop.render(WEB, VALUES, include_crds=True)

    assert rendered.objects[0].object["kind"] == "CustomResourceDefinition"


async def test_a_packed_subchart_is_rendered_too(workshop: Workshop, stock: Stock) -> None:
    cache = {
        path.removeprefix("charts/cache/"): text
        for path, text in WEB.items()
        if path.startswith("charts/cache/")
    }
    packed = pack_chart(stock.folder, cache, "cache").read_bytes()
    rest = {path: text for path, text in WEB.items() if not path.startswith("charts/")}

    rendered = await workshop.render(
        rest | {"charts/cache-0.1.0.tgz": packed},
        VALUES,
    )

    assert rendered.objects[0].source == "web/charts/cache/templates/cache.yaml"


@pytest.mark.parametrize(
    ("changes", "values", "reason"),
    [
        ({}, {"port": "x"}, "got string, want integer"),
        ({"templates/a.yaml": '{{ fail "no way" }}'}, {}, "no way"),
        ({"templates/a.yaml": "{{ .Values.a.b }}"}, {}, "nil pointer evaluating"),
        ({"templates/a.yaml": "a: ["}, {}, "web/templates/a.yaml"),
        ({"Chart.yaml": CHART + "type: library\n"}, {}, "library charts are not installable"),
        (
            {"Chart.yaml": CHART + "dependencies:\n- {name: db, version: 1.0.0}\n"},
            {},
            "found in Chart.yaml, but missing in charts/ directory: db",
        ),
        ({"Chart.yaml": "apiVersion: v2\nname: web\n"}, {}, "chart.metadata.version is required"),
        ({"values.yaml": "a: ["}, {}, "cannot load values.yaml"),
    ],
)
async def test_a_mistake_is_told_in_helms_words(
    workshop: Workshop, changes: Files, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(EngineRefused, match=reason):
        await workshop.render(WEB | dict(changes), {"global": {}} | values)


async def test_schema_validation_can_be_disabled(workshop: Workshop) -> None:
    values = VALUES | {"port": "81"}

    rendered = await workshop.render(WEB, values, disable_schema_validation=True)

    assert rendered.objects[1].object["spec"]["ports"][0]["port"] == 81
