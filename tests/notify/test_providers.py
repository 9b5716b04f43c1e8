"""What each type of Provider sends, recorded by a server, and what its answers mean."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from penstock.local.certificates import certificates
from services.notify.courier import Courier, Obsolete
from services.notify.posting import Post, Refused, Rejected, Unavailable
from shared.cluster.errors import Unreachable
from shared.messages import EventPayload
from shared.redaction import redact
from shared.resources.meta import NamespacedName
from shared.resources.notification import Provider
from tests.support.notifications import a_provider, an_event
from tests.support.sink import Received, Sink, always, running_sink

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY = NamespacedName("team-a", "chat")


class Desk:
    """A courier over Providers and Secrets in memory, and a real client."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.provider: Provider | None = None
        self.secrets: dict[str, dict[str, str]] = {}
        self.weather: Exception | None = None
        self.courier = Courier(lambda _: self.provider, self.read, Post(session, lambda: NOW))

    async def read(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        if self.weather is not None:
            raise self.weather
        values = self.secrets.get(f"{namespace}/{name}")
        encoded = {k: base64.b64encode(v.encode()).decode() for k, v in (values or {}).items()}
        return None if values is None else {"data": encoded}

    async def send(
        self, event: EventPayload | None = None, queued_at: datetime = NOW, **spec: Any
    ) -> None:
        self.provider = a_provider(**spec)
        await self.courier.attempt(KEY, event or an_event(), queued_at)

    def secret(self, **values: str) -> dict[str, Any]:
        """A reference for the spec."""
        self.secrets["team-a/keys"] = values
        return {"secretRef": {"name": "keys"}}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with aiohttp.ClientSession() as session:
        yield Desk(session)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running_sink() as sink:
        yield sink


class TestGeneric:
    async def test_the_event_goes_out_as_it_is(self, desk: Desk, sink: Sink) -> None:
        await desk.send(an_event(metadata={"revision": "main@sha1:1"}), address=sink.url + "/in")

        (request,) = sink.requests
        assert (request.method, request.path) == ("POST", "/in")
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["gotk-component"] == "kustomize-controller"
        assert request.json == {
            "involvedObject": {
                "kind": "Kustomization",
                "namespace": "team-a",
                "name": "shop",
                "uid": "u-shop",
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
                "resourceVersion": "7",
            },
            "severity": "info",
            "timestamp": "2026-01-02T03:04:05Z",
            "message": "applied",
            "reason": "ReconciliationSucceeded",
            "metadata": {"revision": "main@sha1:1"},
            "reportingController": "kustomize-controller",
            "reportingInstance": "kustomize-0",
        }

    async def test_headers_come_from_the_secret(self, desk: Desk, sink: Sink) -> None:
        ref = desk.secret(headers="Authorization: Bearer abc\nX-Number: 7\n")

        await desk.send(address=sink.url, **ref)

        assert sink.requests[0].headers["Authorization"] == "Bearer abc"
        assert sink.requests[0].headers["X-Number"] == "7"

    async def test_the_secrets_address_comes_before_the_specs(self, desk: Desk, sink: Sink) -> None:
        await desk.send(address="http://127.0.0.1:1/", **desk.secret(address=sink.url + "/s\n"))

        assert [request.path for request in sink.requests] == ["/s"]

    async def test_signed_events_can_be_verified(self, desk: Desk, sink: Sink) -> None:
        await desk.send(type="generic-hmac", address=sink.url, **desk.secret(token=" key \n"))

        (request,) = sink.requests
        expected = hmac.new(b"key", request.body, hashlib.sha256).hexdigest()
        assert request.headers["X-Signature"] == f"sha256={expected}"

    async def test_without_a_token_nothing_goes_out_unsigned(self, desk: Desk, sink: Sink) -> None:
        with pytest.raises(Refused, match="token"):
            await desk.send(type="generic-hmac", address=sink.url, **desk.secret(token=""))

        assert sink.requests == []

    @pytest.mark.parametrize("name", ["x\r\nEvil: 1", "é", "\x00"])
    async def test_no_event_adds_a_header(self, desk: Desk, sink: Sink, name: str) -> None:
        event = an_event()
        await desk.send(
            EventPayload(
                involved_object=event.involved_object,
                severity="info",
                message="m",
                reason="r",
                reporting_controller=name,
            ),
            address=sink.url,
        )

        assert "Evil" not in sink.requests[0].headers


class TestSlack:
    async def test_a_webhook_gets_one_attachment(self, desk: Desk, sink: Sink) -> None:
        event = an_event("applied\nin 3s", metadata={"revision": "main@sha1:1", "env": "prod"})

        await desk.send(event, type="slack", address=sink.url + "/services/T/B/X", channel="ops")

        assert sink.requests[0].json == {
            "channel": "ops",
            "username": "kustomize-controller",
            "attachments": [
                {
                    "color": "good",
                    "author_name": "kustomization/shop.team-a",
                    "fallback": "kustomization/shop.team-a: applied",
                    "text": "applied\nin 3s",
                    "mrkdwn_in": ["text"],
                    "fields": [
                        {"title": "revision", "value": "main@sha1:1", "short": False},
                        {"title": "env", "value": "prod", "short": False},
                    ],
                }
            ],
        }
        assert "Authorization" not in sink.requests[0].headers

    async def test_errors_are_red_and_the_name_can_be_chosen(self, desk: Desk, sink: Sink) -> None:
        await desk.send(
            an_event(severity="error"), type="slack", address=sink.url, username="penstock"
        )

        sent = sink.requests[0].json
        assert (sent["username"], sent["attachments"][0]["color"]) == ("penstock", "danger")

    async def test_a_bot_shows_its_token_and_its_answers_are_read(
        self, desk: Desk, sink: Sink
    ) -> None:
        sink.answer = always(200, '{"ok": true}')

        await desk.send(
            type="slack", address=sink.url + "/api/chat.postMessage", **desk.secret(token="xoxb-1")
        )

        assert sink.requests[0].headers["Authorization"] == "Bearer xoxb-1"

    @pytest.mark.parametrize(
        ("answer", "ending"),
        [
            ('{"ok": false, "error": "ratelimited"}', Unavailable),
            ('{"ok": false, "error": "channel_not_found"}', Refused),
            ('{"ok": false, "error": "invalid_auth"}', Refused),
            ('{"ok": false, "error": "msg_too_long"}', Rejected),
            ('{"ok": false}', Refused),
            ("<html>", Unavailable),
            ("", Unavailable),
            ("[" * 10_000, Unavailable),
        ],
    )
    async def test_the_api_says_no_with_status_200(
        self, desk: Desk, sink: Sink, answer: str, ending: type[Exception]
    ) -> None:
        sink.answer = always(200, answer)

        with pytest.raises(ending):
            await desk.send(type="slack", address=sink.url + "/api/chat.postMessage")

    async def test_no_text_mentions_anybody_or_hides_a_link(self, desk: Desk, sink: Sink) -> None:
        evil = "<!channel> <http://x|ok> <@U1> & `code` 🚀 \0 end"

        await desk.send(an_event(evil, metadata={"<!here>": evil}), type="slack", address=sink.url)

        (attachment,) = sink.requests[0].json["attachments"]
        assert attachment["text"] == (
            "&lt;!channel&gt; &lt;http://x|ok&gt; &lt;@U1&gt; &amp; `code` 🚀  end"
        )
        assert "<" not in json.dumps(attachment, ensure_ascii=False)


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (500, Unavailable),
        (502, Unavailable),
        (408, Unavailable),
        (429, Unavailable),
        (400, Rejected),
        (413, Rejected),
        (422, Rejected),
        (401, Refused),
        (403, Refused),
        (404, Refused),
        (410, Refused),
    ],
)
async def test_what_an_answer_means(
    desk: Desk, sink: Sink, status: int, ending: type[Exception]
) -> None:
    sink.answer = always(status, "because")

    with pytest.raises(ending, match=rf"127\.0\.0\.1 answered {status}: because"):
        await desk.send(address=sink.url)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_success(desk: Desk, sink: Sink, status: int) -> None:
    sink.answer = always(status)

    await desk.send(address=sink.url)


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("7", timedelta(seconds=7)),
        ("Fri, 02 Jan 2026 00:01:00 GMT", timedelta(minutes=1)),
        ("Fri, 02 Jan 2026 00:00:00 GMT", timedelta(0)),
        ("Thu, 01 Jan 2026 00:00:00 GMT", timedelta(0)),
        ("9" * 400, timedelta(minutes=15)),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
async def test_retry_after_is_understood(
    desk: Desk, sink: Sink, text: str, pause: timedelta | None
) -> None:
    sink.answer = always(503, Retry_After=text)

    with pytest.raises(Unavailable) as caught:
        await desk.send(address=sink.url)

    assert caught.value.retry_after == pause


async def test_redirects_are_not_followed(desk: Desk, sink: Sink) -> None:
    async with running_sink() as elsewhere:
        sink.answer = always(307, Location=elsewhere.url)

        with pytest.raises(Refused, match="redirects are not followed"):
            await desk.send(address=sink.url, **desk.secret(headers="Authorization: Bearer abc"))

        assert elsewhere.requests == []


async def test_a_provider_that_hangs_costs_its_timeout(desk: Desk, sink: Sink) -> None:
    async def hang(_: Received) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    sink.answer = hang

    with pytest.raises(Unavailable, match=r"no answer within 0\.2s"):
        await desk.send(address=sink.url, timeout="200ms")


async def test_nobody_there(desk: Desk) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1: no connection"):
        await desk.send(address="http://127.0.0.1:1/")


async def test_a_huge_answer_is_not_read_to_its_end(desk: Desk, sink: Sink) -> None:
    sink.answer = always(500, "x" * 5_000_000)

    with pytest.raises(Unavailable) as caught:
        await desk.send(address=sink.url)

    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"address": ""}, "spec.address"),
        ({"address": "ftp://x/"}, "http://"),
        ({"address": "http://[x/"}, "address"),
        ({"address": "http://" + "a" * 3000}, "2048"),
        ({"secretRef": {"name": "absent"}}, "team-a/absent does not exist"),
        ({"certSecretRef": {"name": "absent"}}, "spec.certSecretRef"),
        ({"proxySecretRef": {"name": "absent"}}, "spec.proxySecretRef"),
        ({"proxy": "socks5://x"}, "proxy"),
        ({"timeout": "soon"}, "spec.timeout"),
    ],
)
async def test_what_must_be_mended_is_named(desk: Desk, spec: dict[str, Any], names: str) -> None:
    with pytest.raises(Refused, match=names):
        await desk.send(**spec)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"headers": "- a"}, "mapping"),
        ({"headers": "{"}, "YAML"),
        ({"headers": 'X: "a\\r\\nEvil: 1"'}, "control"),
    ],
)
async def test_a_secret_that_is_none_is_named_and_not_shown(
    desk: Desk, sink: Sink, values: dict[str, str], names: str
) -> None:
    with pytest.raises(Refused, match=names):
        await desk.send(address=sink.url, **desk.secret(**values))

    assert sink.requests == []


async def test_a_secret_that_cannot_be_read_is_read_again_later(desk: Desk) -> None:
    ref = desk.secret(token="x")
    desk.weather = Unreachable("the API server is away")

    with pytest.raises(Unavailable, match="Secret cannot be read"):
        await desk.send(**ref)


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


async def test_a_type_that_is_not_served_is_named(desk: Desk) -> None:
    with pytest.raises(Rejected, match=r"has type discord, which is not served"):
        await desk.send(type="discord")


async def test_a_suspended_provider_gets_nothing(desk: Desk, sink: Sink) -> None:
    with pytest.raises(Obsolete):
        await desk.send(address=sink.url, suspend=True)

    assert sink.requests == []


async def test_a_deleted_provider_gets_nothing(desk: Desk) -> None:
    courier = Courier(
        lambda _: None, desk.read, Post(aiohttp.ClientSession.__new__(aiohttp.ClientSession))
    )

    with pytest.raises(Obsolete):
        await courier.attempt(KEY, an_event(), NOW)


async def test_a_new_provider_gets_nothing_of_its_predecessors(desk: Desk, sink: Sink) -> None:
    provider = a_provider(address=sink.url)
    created = "2026-01-02T00:00:00Z"
    desk.provider = Provider.from_object(
        {
            "metadata": {"name": "chat", "namespace": "team-a", "creationTimestamp": created},
            "spec": {"type": "generic", "address": provider.spec.address},
        }
    )

    with pytest.raises(Obsolete):
        await desk.courier.attempt(KEY, an_event(), NOW - timedelta(minutes=6))
    await desk.courier.attempt(KEY, an_event(), NOW - timedelta(minutes=4))

    assert len(sink.requests) == 1


CANARY = "canary-T0KEN-0123456789"


@pytest.mark.parametrize(
    "where",
    [
        {"token": CANARY},
        {"headers": f"X-Api-Key: {CANARY}"},
        {"password": CANARY},
        {"address": f"https://127.0.0.1:1/hook/{CANARY}?key={CANARY}"},
        {"proxy": f"http://joe:{CANARY}@127.0.0.1:1"},
    ],
)
async def test_a_failure_shows_no_credential(
    desk: Desk, sink: Sink, where: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    sink.answer = always(403, f"token {CANARY} is not allowed")
    ref = desk.secret(**where)

    with caplog.at_level(logging.DEBUG), pytest.raises((Refused, Unavailable)) as caught:
        await desk.send(type="slack", address=sink.url, **ref)

    assert CANARY not in str(caught.value)
    assert CANARY not in redact(f"as the log writes it: {CANARY} {caplog.text}")


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
