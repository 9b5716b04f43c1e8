"""CustomResourceDefinitions in a chart's `crds/` folder."""

from typing import Any

from shared.cluster.objects import ObjectRef
from tests.helm.conftest import Helm
from tests.support.charts import a_chart, a_config_map

CRD = "apiextensions.k8s.io/v1"


def a_definition(group: str, *, fields: tuple[str, ...] = ("size",)) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in fields}
    spec = {"type": "object", "properties": properties}
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": CRD,
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [version],
        },
    }


def a_widget(group: str) -> str:
    """A template that exists only where its definition does."""
    return (
        f'{{{{- if .Capabilities.APIVersions.Has "{group}/v1/Widget" }}}}\n'
        f"apiVersion: {group}/v1\nkind: Widget\nmetadata:\n  name: widget\n"
        f"spec:\n  size: small\n{{{{- end }}}}\n"
    )


async def fields_of(helm: Helm, group: str) -> list[str] | None:
    ref = ObjectRef(CRD, "CustomResourceDefinition", "", f"widgets.{group}")
    found = await helm.cluster.read(ref)
    if found is None:
        return None
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return sorted(schema["properties"]["spec"]["properties"])


async def test_definitions_come_before_what_asks_for_them_and_stay(helm_service: Helm) -> None:
    helm, group = helm_service, f"{helm_service.namespace}.example.com"
    await helm.release()
    await helm.publish(
        a_chart(templates={"widget.yaml": a_widget(group)}, crds={"crd.yaml": a_definition(group)})
    )

    release = await helm.ready()

    assert await helm.object("widget", "Widget", f"{group}/v1") is not None
    ids = [entry["id"] for entry in release["status"]["inventory"]["entries"]]
    assert ids == [
        f"_widgets.{group}_apiextensions.k8s.io_CustomResourceDefinition",
        f"{helm.namespace}_widget_{group}_Widget",
    ]
    await helm.cli("uninstall", "shop")
    assert await fields_of(helm, group) == ["size"]


async def test_a_changed_definition_is_replaced_only_on_request(helm_service: Helm) -> None:
    helm, group = helm_service, f"{helm_service.namespace}.example.com"
    config = {"x.yaml": a_config_map("x", a="b")}
    await helm.release()
    await helm.publish(a_chart(templates=config, crds={"crd.yaml": a_definition(group)}))
    await helm.ready()
    wider = a_definition(group, fields=("size", "color"))

    await helm.publish(
        a_chart(version="1.1.0", templates=config, crds={"crd.yaml": wider}), version="1.1.0"
    )
    await helm.ready(version=2)
    assert await fields_of(helm, group) == ["size"]

    await helm.release(upgrade={"crds": "CreateReplace"})
    await helm.publish(
        a_chart(version="1.2.0", templates=config, crds={"crd.yaml": wider}), version="1.2.0"
    )
    await helm.ready(version=3)
    assert await fields_of(helm, group) == ["color", "size"]


async def test_definitions_can_be_left_out(helm_service: Helm) -> None:
    helm, group = helm_service, f"{helm_service.namespace}.example.com"
    await helm.release(install={"crds": "Skip"})
    await helm.publish(
        a_chart(
            templates={"x.yaml": a_config_map("x", a="b"), "widget.yaml": a_widget(group)},
            crds={"crd.yaml": a_definition(group)},
        )
    )

    await helm.ready()

    assert await fields_of(helm, group) is None


async def test_anything_else_in_that_folder_is_not_applied(helm_service: Helm) -> None:
    helm = helm_service
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{helm.namespace}-root"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
    }
    await helm.release()
    await helm.publish(
        a_chart(templates={"x.yaml": a_config_map("x", a="b")}, crds={"root.yaml": role})
    )

    await helm.ready()

    ref = ObjectRef(
        "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", f"{helm.namespace}-root"
    )
    assert await helm.cluster.read(ref) is None
    warnings = [each.message for each in helm.told if each.severity == "error"]
    assert len(warnings) == 1
    assert f"ClusterRoleBinding/{helm.namespace}-root" in warnings[0]
