"""What the API server refuses is told as what it is: the object's fault, ours, or the moment's."""

from typing import Any

import pytest

from shared.cluster.client import Cluster
from shared.cluster.errors import ApiError, Forbidden, Invalid, UnknownKind
from shared.cluster.objects import Manifest

PORT: dict[str, Any] = {"port": 80}


def a_service(namespace: str, *ports: Any) -> Manifest:
    metadata = {"name": "shop", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}}


@pytest.mark.parametrize(
    "ports",
    [
        pytest.param(({"port": "eighty"},), id="a word where a number belongs"),
        pytest.param(({**PORT, "colour": "red"},), id="a field that does not exist"),
        pytest.param((PORT, PORT), id="the same key of a list twice"),
        pytest.param(({"port": 99999},), id="a value out of range"),
    ],
)
async def test_a_wrong_object_is_invalid_and_not_tried_again(
    cluster: Cluster, namespace: str, ports: Any
) -> None:
    with pytest.raises(Invalid) as refused:
        await cluster.apply(a_service(namespace, *ports), manager="tests")

    assert "port" in refused.value.answer or "colour" in refused.value.answer


async def test_a_kind_that_is_not_served_is_named(cluster: Cluster, namespace: str) -> None:
    manifest = {**a_service(namespace), "apiVersion": "shop.example.com/v1", "kind": "Basket"}

    with pytest.raises(UnknownKind, match=r"Basket in shop.example.com/v1"):
        await cluster.apply(manifest, manager="tests")


async def test_an_impersonated_account_has_its_own_rights_only(
    cluster: Cluster, namespace: str
) -> None:
    tenant = cluster.as_service_account(namespace, "nobody")

    with pytest.raises(Forbidden, match=f"system:serviceaccount:{namespace}:nobody"):
        await tenant.apply(a_service(namespace, PORT), manager="tests")


async def test_every_refusal_is_an_ending_with_a_message(cluster: Cluster) -> None:
    with pytest.raises(ApiError, match=r"GET /apis/nothing"):
        await cluster.request("GET", "/apis/nothing/v1/things")
