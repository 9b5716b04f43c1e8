"""Credentials of providers: used, and shown to nobody."""

import base64
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest

from penstock.local.certificates import certificates
from services.notify.posting import Refused, Unavailable
from shared.redaction import redact
from tests.support.desk import Desk
from tests.support.sink import Sink, always, running_sink


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("token", "{}"),
        ("headers", "X-Api-Key: {}"),
        ("password", "{}"),
        ("address", "https://127.0.0.1:1/hook/{0}?key={0}"),
        ("proxy", "http://joe:{}@127.0.0.1:1"),
    ],
)
async def test_a_failure_shows_no_credential(
    desk: Desk, sink: Sink, key: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    canary = f"canary-{key}-0123456789"
    sink.answer = always(403, f"{canary} is not allowed")
    ref = desk.secret(**{key: value.format(canary)})

    with caplog.at_level(logging.DEBUG), pytest.raises((Refused, Unavailable)) as caught:
        await desk.send(type="slack", address=sink.url, **ref)

    assert canary not in str(caught.value)
    assert canary not in redact(f"as the log writes it: {canary} {caplog.text}")


async def test_a_token_in_the_specs_own_address_is_not_shown(desk: Desk) -> None:
    path = "another-canary-9876543210"

    with pytest.raises(Unavailable) as caught:
        await desk.send(address=f"http://127.0.0.1:1/services/{path}")

    assert path not in str(caught.value)
    assert path not in redact(f"a log line with {path}")


async def test_tls_is_verified_whatever_happens(desk: Desk, tmp_path: Path) -> None:
    made = certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(made.server, made.server_key)
    desk.secrets["team-a/ca"] = {"ca.crt": made.authority.read_text()}
    trusted: Any = {"certSecretRef": {"name": "ca"}}

    async with running_sink(tls=tls) as sink, running_sink(tls=tls, host="127.0.0.2") as other:
        await desk.send(address=sink.url, **trusted)
        with pytest.raises(Unavailable, match=r"certificate"):
            await desk.send(address=sink.url)
        with pytest.raises(Unavailable, match=r"certificate"):  # it is not that host's
            await desk.send(address=other.url, **trusted)

    assert (len(sink.requests), len(other.requests)) == (1, 0)


async def test_the_secret_is_read_for_each_delivery(desk: Desk, sink: Sink) -> None:
    for token in ("first", "second"):
        ref = desk.secret(token=token)
        await desk.send(type="slack", address=sink.url, **ref)

    sent = [request.headers["Authorization"] for request in sink.requests]
    assert sent == ["Bearer first", "Bearer second"]


async def test_a_proxy_is_used(desk: Desk, sink: Sink) -> None:
    desk.secrets["team-a/proxy"] = {
        "address": sink.url,
        "username": "joe",
        "password": "through-the-wall",
    }

    await desk.send(address="http://chat.example/in", proxySecretRef={"name": "proxy"})

    (request,) = sink.requests
    assert request.path == "http://chat.example/in"
    login = base64.b64encode(b"joe:through-the-wall").decode()
    assert request.headers["Proxy-Authorization"] == f"Basic {login}"
