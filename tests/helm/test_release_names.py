"""Names that the helm CLI, Flux and dashboards look releases up by."""

from typing import Any

import pytest

from services.helm.names import chart_key, identity_of, origin_labels, origin_of, secret_name
from shared.resources.meta import NamespacedName
from tests.support.helm_releases import a_helm_release

LONG = "a-very-long-name-for-a-release-that-somebody-generated-from-a-branch"


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({}, "shop"),
        ({"targetNamespace": "prod"}, "prod-shop"),
        ({"targetNamespace": "prod", "releaseName": "web"}, "web"),
    ],
)
def test_a_release_is_called_after_its_object_unless_told_otherwise(
    spec: dict[str, Any], name: str
) -> None:
    assert identity_of(a_helm_release(**spec)).name == name


def test_a_long_name_is_cut_and_stays_unique() -> None:
    name = identity_of(a_helm_release(LONG)).name

    assert name == "a-very-long-name-for-a-release-that-some-9f95efe9fac6"
    assert len(name) == 53


def test_a_name_of_the_longest_length_stays() -> None:
    assert identity_of(a_helm_release(LONG[:53])).name == LONG[:53]


def test_objects_and_records_are_beside_the_release_unless_told_otherwise() -> None:
    assert identity_of(a_helm_release())[1:] == ("team-a", "team-a")
    elsewhere = a_helm_release(targetNamespace="prod", storageNamespace="helm")
    assert identity_of(elsewhere)[1:] == ("prod", "helm")


def test_helm_finds_the_record() -> None:
    assert secret_name("shop", 12) == "sh.helm.release.v1.shop.v12"


def test_the_chart_is_beside_its_source() -> None:
    source = {"kind": "GitRepository", "name": "fleet", "namespace": "flux-system"}
    chart = {"spec": {"chart": "./charts/shop", "sourceRef": source}}

    assert chart_key(a_helm_release()) == NamespacedName("team-a", "team-a-shop")
    assert chart_key(a_helm_release(chart=chart)) == NamespacedName("flux-system", "team-a-shop")


def test_objects_lead_back_to_their_release() -> None:
    key = a_helm_release().key

    assert origin_of({"app": "x", **origin_labels(key)}) == key
    assert origin_of({"helm.toolkit.fluxcd.io/name": "shop"}) is None
