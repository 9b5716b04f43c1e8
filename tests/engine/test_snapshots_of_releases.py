"""A release's digests are those that every controller of this API computes."""

import hashlib
from typing import Any

from tests.engine.conftest import Workshop

EMPTY = hashlib.sha256(b"").hexdigest()
HOOK = {
    "name": "migrate",
    "kind": "Job",
    "path": "a.yaml",
    "manifest": "x",
    "last_run": {"phase": ""},
}


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


async def test_the_digest_of_the_contract(workshop: Workshop) -> None:
    snapshot = await workshop.engine.snapshot({"name": "foo"})

    assert snapshot.digest == (
        "sha256:f1498f27a16a09cd7e1ee610d924df065c03d30035638babc95dd9a8d412ce4d"
    )
    assert snapshot.config_digest == f"sha256:{EMPTY}"


async def test_every_field_is_in_gos_order_and_encoding(workshop: Workshop) -> None:
    release = {
        "namespace": "apps",
        "manifest": "a: <b> & c\n",
        "name": "web",
        "version": 3,
        "config": {"z": 1, "a": {"y": "é", "b": [1.5, None]}},
        "info": {
            "status": "deployed",
            "notes": "hi",
            "description": "done",
            "last_deployed": "2026-01-02T03:04:05.678901234Z",
            "first_deployed": "2026-01-01T00:00:00+01:00",
        },
        "chart": {
            "metadata": {"version": "1.0.0", "name": "web", "apiVersion": "v2"},
            "values": {},
        },
        "hooks": [HOOK | {"events": ["pre-install"], "weight": 2}, HOOK | {"events": ["test"]}],
    }

    snapshot = await workshop.engine.snapshot(release, "sha256:abc")

    assert snapshot.digest == _digest(
        '{"name":"web","version":3,"info":{"first_deployed":"2026-01-01T00:00:00+01:00",'
        '"last_deployed":"2026-01-02T03:04:05.678901234Z","description":"done",'
        '"status":"deployed","notes":"hi"},'
        '"chartMetadata":{"name":"web","version":"1.0.0","apiVersion":"v2"},'
        '"config":{"a":{"b":[1.5,null],"y":"é"},"z":1},'
        '"manifest":"a: \\u003cb\\u003e \\u0026 c\\n",'
        '"hooks":[{"name":"migrate","kind":"Job","path":"a.yaml","manifest":"x",'
        '"events":["pre-install"],"last_run":{"phase":""},"weight":2}],'
        '"namespace":"apps","ociDigest":"sha256:abc"}\n'
    )


async def test_the_config_digest_is_of_sorted_yaml(workshop: Workshop) -> None:
    values: dict[str, Any] = {
        "b": {"10": "x", "9": "y", "on": True},
        "a": [{"d": 1, "c": 2.0}, "1", 1.5, None],
        "big": 1e21,
        "text": "yes",
    }

    digest = await workshop.engine.config_digest(values)

    assert digest == _digest(
        'a:\n- c: 2\n  d: 1\n- "1"\n- 1.5\n- null\n'
        'b:\n  "10": x\n  "9": "y"\n  "on": true\nbig: 1e+21\ntext: "yes"\n'
    )


async def test_no_values_and_empty_values_are_the_same(workshop: Workshop) -> None:
    assert await workshop.engine.config_digest({}) == f"sha256:{EMPTY}"


async def test_a_rendered_release_can_be_digested(workshop: Workshop) -> None:
    rendered = await workshop.render({"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.2.3\n"})

    first = await workshop.engine.snapshot(rendered.release)

    assert first == await workshop.engine.snapshot(rendered.release)
    assert first.digest != _digest("")
