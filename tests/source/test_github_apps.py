import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.endings import FetchFailed
from services.source.git.github_app import GitHubApps, Way
from shared.credentials import Basic, GitHubApp, InvalidCredentials, Proxy, github_app
from tests.source.conftest import Tools
from tests.support.eventually import eventually
from tests.support.github_api import INSTALLATION, GitHubApi, github_api
from tests.support.proxies import ProxyServer, running
from tests.support.source_service import SourceService, condition

SOON = Way(timedelta(seconds=5))
MAIN = {"branch": "main"}
TOKEN = f"POST /app/installations/{INSTALLATION}/access_tokens"


@pytest.fixture
async def api(tools: Tools) -> AsyncIterator[GitHubApi]:
    async with github_api(now=tools.now) as api:
        yield api


@pytest.fixture
def apps(tools: Tools) -> GitHubApps:
    return GitHubApps(tools.web, tools.now)


def app_of(api: GitHubApi, **changes: str) -> GitHubApp:
    return github_app({key: text.encode() for key, text in api.secret(**changes).items()})


def login(token: str) -> Basic:
    return Basic("x-access-token", token)


@pytest.fixture
async def public_api() -> AsyncIterator[GitHubApi]:
    """By the clock of the world."""
    async with github_api() as api:
        yield api


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    authorization = login("ghs_canary0").authorization
    return await git_server.repository("shop", {"a": "b"}, authorization=authorization)


async def apply(service: SourceService, url: str, **spec: object) -> None:
    await service.apply("GitRepository", "shop", url=url, ref=MAIN, **spec)


AS_APP = {"provider": "github", "secretRef": {"name": "app"}}


async def test_an_app_reads_a_private_repository_with_one_token_for_many_ticks(
    service: SourceService, public_api: GitHubApi, shop: Repository, git_server: GitServer
) -> None:
    await service.secret("app", **public_api.secret())

    await apply(service, shop.url, interval="200ms", **AS_APP)

    stored = await service.ready("GitRepository", "shop", f"main@sha1:{shop.head}")
    assert await service.files(stored) == {"a": b"b"}
    git_server.requests.clear()
    await eventually(lambda: len(git_server.requests), lambda count: count >= 3)
    assert public_api.requests == [TOKEN]
    assert set(git_server.requests) == {"POST /shop.git/git-upload-pack"}


@pytest.mark.parametrize(
    ("spec", "keys", "reason", "stalls"),
    [
        ({"provider": "github"}, {}, "github needs a Secret with the keys of a GitHub App", True),
        ({**AS_APP, "url": "ssh://git@h/x"}, {}, "github is for https; spec.url is ssh", True),
        ({"secretRef": {"name": "app"}}, {}, "has keys of a GitHub App, but spec.provider", False),
        (AS_APP, {"githubAppID": ""}, "has no keys of a GitHub App", False),
    ],
)
async def test_provider_and_secret_have_to_fit(
    service: SourceService,
    public_api: GitHubApi,
    shop: Repository,
    spec: dict[str, object],
    keys: dict[str, str],
    reason: str,
    stalls: bool,
) -> None:
    secret = {k: v for k, v in public_api.secret(**keys).items() if v}
    await service.secret("app", **secret)

    await service.apply("GitRepository", "shop", **{"url": shop.url, "ref": MAIN, **spec})

    stored = await service.not_ready("GitRepository", "shop", "InvalidProviderConfiguration")
    assert reason in condition(stored, "FetchFailed")["message"]
    assert bool(condition(stored, "Stalled")) == stalls
    assert public_api.requests == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"githubAppInstallationOwner": "me"}, "and not both"),
        ({"githubAppInstallationID": ""}, "needs one of"),
        ({"githubAppInstallationID": "1/../2"}, "is not a number"),
        ({"githubAppPrivateKey": ""}, "has no githubAppPrivateKey"),
        ({"githubAppID": ""}, "has no githubAppID"),
        ({"githubAppBaseURL": "file:///etc"}, "githubAppBaseURL is not a URL"),
        ({"githubAppBaseURL": "https://me:canary@host"}, "githubAppBaseURL is not a URL"),
    ],
)
def test_what_is_wrong_with_the_keys_is_said(
    api: GitHubApi, changes: dict[str, str], problem: str
) -> None:
    with pytest.raises(InvalidCredentials, match=problem):
        app_of(api, **changes)


async def test_a_key_that_is_none_is_said_and_not_shown(api: GitHubApi, apps: GitHubApps) -> None:
    with pytest.raises(InvalidCredentials, match="not a private key in PEM"):
        await apps.login(app_of(api, githubAppPrivateKey="canary"), SOON)

    assert "canary" not in repr(app_of(api, githubAppPrivateKey="canary"))


@pytest.mark.parametrize(("kind", "requests"), [("organisations", 2), ("users", 3)])
async def test_an_installation_is_found_by_its_owner(
    api: GitHubApi, apps: GitHubApps, kind: str, requests: int
) -> None:
    getattr(api, kind)["octo-org"] = INSTALLATION
    app = app_of(api, githubAppInstallationID="", githubAppInstallationOwner="octo-org")

    assert await apps.login(app, SOON) == login("ghs_canary0")

    assert len(api.requests) == requests
    assert api.requests[0] == "GET /orgs/octo-org/installation"


async def test_a_token_is_kept_until_shortly_before_its_end(
    api: GitHubApi, apps: GitHubApps, tools: Tools
) -> None:
    app = app_of(api)
    assert await apps.login(app, SOON) == login("ghs_canary0")
    tools.wait(timedelta(minutes=54))
    assert await apps.login(app, SOON) == login("ghs_canary0")

    tools.wait(timedelta(minutes=2))

    assert await apps.login(app, SOON) == login("ghs_canary1")


async def test_one_that_may_have_been_revoked_is_asked_for_anew_but_not_at_once(
    api: GitHubApi, apps: GitHubApps, tools: Tools
) -> None:
    app = app_of(api)
    await apps.login(app, SOON)
    assert await apps.login(app, SOON, fresh=True) == login("ghs_canary0")

    tools.wait(timedelta(minutes=2))

    assert await apps.login(app, SOON, fresh=True) == login("ghs_canary1")


async def test_many_repositories_of_one_installation_ask_once(
    api: GitHubApi, apps: GitHubApps
) -> None:
    app = app_of(api)

    logins = await asyncio.gather(*(apps.login(app, SOON) for _ in range(20)))

    assert set(logins) == {login("ghs_canary0")}
    assert api.requests == [TOKEN]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (web.Response(status=401), "answered 401"),
        (web.Response(status=500), "answered 500"),
        (web.Response(text="<html>"), "is not GitHub's"),
        (web.Response(text='{"token": "t", "expires_at": "soon"}'), "is not GitHub's"),
        (web.Response(text="x" * 2_000_000), "larger than the limit"),
    ],
)
async def test_an_api_that_gives_no_token_is_a_failure_to_log_in(
    api: GitHubApi, apps: GitHubApps, answer: web.Response, problem: str
) -> None:
    api.answer = answer

    with pytest.raises(FetchFailed, match=problem) as failed:
        await apps.login(app_of(api), SOON)

    assert failed.value.reason == "AuthenticationFailed"
    assert str(failed.value).startswith("GitHub App 1234: ")


async def test_a_key_of_another_app_is_refused_by_github(api: GitHubApi, apps: GitHubApps) -> None:
    async with github_api() as other:
        app = app_of(api, githubAppPrivateKey=other.pem)

    with pytest.raises(FetchFailed, match="answered 401"):
        await apps.login(app, SOON)


async def test_github_is_asked_through_the_proxy(api: GitHubApi, apps: GitHubApps) -> None:
    proxy = ProxyServer()
    async with running(proxy):
        way = Way(timedelta(seconds=5), Proxy(proxy.address))

        await apps.login(app_of(api), way)

    assert len(proxy.seen) == 1
