"""What each type of Provider sends, recorded by a server."""

import hashlib
import hmac
import json

import pytest

from services.notify.posting import Refused, Rejected, Unavailable
from shared.messages import EventPayload
from tests.support.desk import Desk
from tests.support.notifications import an_event
from tests.support.sink import Sink, always


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
