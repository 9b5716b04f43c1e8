"""`spec.valuesFrom`: values out of Secrets and ConfigMaps, and news of them."""

import base64
from typing import Any

import pytest

from services.helm.values_from import ValuesError, composed_values
from shared.cluster.objects import Manifest, ObjectRef
from tests.helm.conftest import Helm, condition
from tests.support.charts import a_chart, a_config_map
from tests.support.eventually import eventually
from tests.support.helm_releases import a_helm_release

SECRET_TEXT = "hunter2"


def a_secret(**data: str) -> Manifest:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"kind": "Secret", "data": encoded}


def a_configuration(**data: str) -> Manifest:
    return {"kind": "ConfigMap", "data": data}


class Objects(dict[str, Manifest]):
    """Objects of one namespace by kind and name."""

    async def read(self, ref: ObjectRef) -> Manifest | None:
        assert ref.namespace == "team-a"
        return self.get(f"{ref.kind}/{ref.name}")


async def values(objects: Objects, *references: dict[str, Any], **inline: Any) -> dict[str, Any]:
    release = a_helm_release(valuesFrom=list(references), values=inline)
    return await composed_values(release, objects.read)


async def test_whole_files_come_from_the_default_key_or_the_named_one() -> None:
    objects = Objects(
        {
            "ConfigMap/base": a_configuration(**{"values.yaml": "a: 1\nb: 1\n"}),
            "Secret/login": a_secret(prod="b: 2\nc: on\n"),
        }
    )
    base = {"kind": "ConfigMap", "name": "base"}
    login = {"kind": "Secret", "name": "login", "valuesKey": "prod"}

    assert await values(objects, base, login, d=4) == {"a": 1, "b": 2, "c": True, "d": 4}


async def test_one_value_goes_to_its_path() -> None:
    objects = Objects({"Secret/login": a_secret(password="1,2", port="80")})
    port = {"kind": "Secret", "name": "login", "valuesKey": "port", "targetPath": "db.port"}
    password = {
        "kind": "Secret",
        "name": "login",
        "valuesKey": "password",
        "targetPath": "db.password",
        "literal": True,
    }

    assert await values(objects, port, password) == {"db": {"port": 80, "password": "1,2"}}


async def test_an_optional_reference_may_lack_its_object_or_its_key() -> None:
    objects = Objects({"ConfigMap/base": a_configuration()})
    missing = {"kind": "Secret", "name": "login", "optional": True}
    keyless = {"kind": "ConfigMap", "name": "base", "optional": True}

    assert await values(objects, missing, keyless, a=1) == {"a": 1}


async def test_an_empty_file_has_no_values() -> None:
    objects = Objects({"ConfigMap/base": a_configuration(**{"values.yaml": "# nothing\n"})})

    assert await values(objects, {"kind": "ConfigMap", "name": "base"}) == {}


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        (None, r"Secret/team-a/login does not exist"),
        (a_secret(), r"Secret/team-a/login has no key 'values.yaml'"),
        (a_secret(**{"values.yaml": f"a: [{SECRET_TEXT}"}), r"is not YAML: line"),
        (a_secret(**{"values.yaml": f"- {SECRET_TEXT}"}), r"holds no mapping of values"),
        ({"kind": "Secret", "data": {"values.yaml": "/w=="}}, r"something else than UTF-8 text"),
        (a_secret(**{"values.yaml": "a: 1e20"}), r"a number that JSON cannot hold"),
    ],
)
async def test_what_cannot_be_read_is_named_and_not_shown(
    secret: Manifest | None, problem: str
) -> None:
    objects = Objects({"Secret/login": secret} if secret else {})

    with pytest.raises(ValuesError, match=rf"spec\.valuesFrom.*{problem}") as refused:
        await values(objects, {"kind": "Secret", "name": "login"})

    assert SECRET_TEXT not in str(refused.value)


async def test_a_path_that_cannot_be_set_is_named() -> None:
    objects = Objects({"Secret/login": a_secret(port=SECRET_TEXT)})
    reference = {"kind": "Secret", "name": "login", "valuesKey": "port", "targetPath": "a.b"}

    with pytest.raises(ValuesError, match=r"'a\.b' goes through a value that is no map") as refused:
        await values(objects, reference, a="text")

    assert SECRET_TEXT not in str(refused.value)


async def test_a_secret_that_a_chart_repeats_is_shown_to_nobody(helm_service: Helm) -> None:
    helm, password = helm_service, "correct-horse-battery"
    metadata = {"name": "login", "namespace": helm.namespace}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    await helm.cluster.create({**secret, "stringData": {"password": password}})
    reference = {"kind": "Secret", "name": "login", "valuesKey": "password", "targetPath": "pass"}
    await helm.release(valuesFrom=[reference])
    await helm.publish(a_chart(templates={"x.yaml": '{{ fail (print "bad: " .Values.pass) }}'}))

    release = await helm.failing("InstallFailed")

    assert "bad: ***" in condition(release, "Ready")["message"]
    assert password not in str(release["status"])


async def test_a_change_of_watched_configuration_upgrades_at_once(helm_service: Helm) -> None:
    helm = helm_service
    metadata = {
        "name": "base",
        "namespace": helm.namespace,
        "labels": {"reconcile.fluxcd.io/watch": "Enabled"},
    }
    base = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    await helm.cluster.apply({**base, "data": {"values.yaml": "text: one"}}, manager="team")
    await helm.release(interval="1h", valuesFrom=[{"kind": "ConfigMap", "name": "base"}])
    await helm.publish(a_chart(templates={"x.yaml": a_config_map("x", text="{{ .Values.text }}")}))
    await helm.ready()

    await helm.cluster.apply({**base, "data": {"values.yaml": "text: two"}}, manager="team")

    await helm.ready(version=2)
    assert await eventually(lambda: _text(helm)) == "two"


async def _text(helm: Helm) -> str | None:
    found = await helm.object("x")
    return None if found is None else str(found["data"]["text"])
