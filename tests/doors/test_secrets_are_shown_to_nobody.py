import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.credentials import (
    ANONYMOUS,
    Basic,
    Bearer,
    HttpCredentials,
    InvalidCredentials,
    Tls,
    http_credentials,
    secret_values,
    without_userinfo,
)
from shared.redaction import redact, register, shown_address


def a_canary() -> str:
    return f"canary-{uuid.uuid4().hex}"


def a_secret(**values: str | bytes) -> dict[str, Any]:
    encoded = {
        key: base64.b64encode(v if isinstance(v, bytes) else v.encode()).decode()
        for key, v in values.items()
    }
    return {"kind": "Secret", "data": encoded}


def read(secret: Mapping[str, Any]) -> HttpCredentials:
    return http_credentials(secret_values(secret))


def test_username_and_password_become_a_basic_login() -> None:
    credentials = read(a_secret(username="git", password="p:ss wörd\n"))

    assert credentials.login == Basic("git", "p:ss wörd")
    expected = base64.b64encode("git:p:ss wörd".encode()).decode()
    assert credentials.authorization == f"Basic {expected}"


def test_a_bearer_token_becomes_a_bearer_login() -> None:
    assert read(a_secret(bearerToken="tok-1")).authorization == "Bearer tok-1"


def test_a_certificate_authority_may_come_alone_or_under_its_old_name() -> None:
    assert read({"data": a_secret(caFile="PEM")["data"]}) == HttpCredentials(tls=Tls("PEM"))
    assert ANONYMOUS.authorization is None


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "neither username and password"),
        ({"username": "git"}, "no password"),
        ({"password": "x"}, "no username"),
        ({"username": "a", "password": "b", "bearerToken": "c"}, "both bearerToken and"),
        ({"username": "a\r\nX-Evil: 1", "password": "b"}, "control characters"),
        ({"bearerToken": "a\nb"}, "control characters"),
        ({"bearerToken": b"\xff\xfe"}, "not text"),
        ({"tls.crt": "x"}, "both tls.crt and tls.key"),
    ],
)
def test_a_secret_that_does_not_fit_says_which_key(values: Any, problem: str) -> None:
    with pytest.raises(InvalidCredentials, match=problem):
        read(a_secret(**values))


def test_data_that_is_not_base64_is_refused_without_being_shown() -> None:
    with pytest.raises(InvalidCredentials) as refused:
        read({"data": {"password": "CANARY!"}})

    assert "'password'" in str(refused.value)
    assert "CANARY" not in str(refused.value)


def test_a_broken_certificate_is_refused_when_it_is_used() -> None:
    with pytest.raises(InvalidCredentials, match="must be PEM"):
        Tls("not a certificate").context()


def test_printing_credentials_shows_nothing() -> None:
    canary = a_canary()

    printed = repr([Basic("git", canary), Bearer(canary), Tls("ca", "crt", canary)])

    assert canary not in printed


def test_a_login_inside_a_url_is_taken_out_of_it() -> None:
    canary = a_canary()

    url, login = without_userinfo(f"https://me:{canary}%21@git.example:8443/shop.git?x=1")

    assert url == "https://git.example:8443/shop.git?x=1"
    assert login == Basic("me", f"{canary}!")
    assert canary not in redact(f"could not fetch {canary}!")
    assert without_userinfo("https://git.example/a@b") == ("https://git.example/a@b", None)


@pytest.mark.parametrize(
    "disguise",
    [
        lambda login: login.password,
        lambda login: f"GET /x?token={login.password}&a=1",
        lambda login: json.dumps({"error": f"bad password {login.password!s}"}),
        lambda login: f"fatal: unable to access 'https://me:{login.password}@git.example/x'",
        lambda login: f"http.extraHeader=Authorization: {login.authorization}",
        lambda login: base64.b64encode(login.password.encode()).decode(),
        lambda login: login.authorization.removeprefix("Basic "),
    ],
)
def test_a_password_that_was_read_is_hidden_in_every_disguise(disguise: Any) -> None:
    password = f'{a_canary()}"&\\ü'
    login = read(a_secret(username="me", password=password)).login
    assert isinstance(login, Basic)

    shown = redact(disguise(login))

    assert "canary" not in shown
    assert login.authorization.removeprefix("Basic ") not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:p@h/x and ssh://git@h/y", "https://***@h/x and ssh://***@h/y"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ('{"authorization": "Bearer abc.def"}', '{"authorization": "Bearer ***"}'),
        ("sent bearer eyJhbGciOiJIUzI1NiJ9.e30", "sent bearer ***"),
        ("http://h/a@b mail a@b.example", "http://h/a@b mail a@b.example"),
        ("basic auth failed for bearer of news", "basic auth failed for bearer of news"),
    ],
)
def test_logins_are_hidden_even_when_nobody_registered_them(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_secret_inside_another_secret_leaves_no_tail() -> None:
    canary = a_canary()
    register(canary)
    register(f"{canary}-and-more")

    assert redact(f"<{canary}-and-more>") == "<***>"


def test_a_line_of_a_private_key_is_hidden() -> None:
    line = a_canary()
    register(f"-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n")

    assert line not in redact(f"unexpected {line}")
    assert redact("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


@settings(deadline=None)
@given(st.text(max_size=50), st.text(max_size=30))
def test_no_text_around_a_secret_brings_it_out(around: str, end: str) -> None:
    secret = f"canary-9c1d{end}"
    register(secret)

    assert "canary-9c1d" not in redact(f"{around}{secret}{around}")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:canary@h o/x", "'https://***@h o/x'"),
        ("https://me:can/ary@host/x", "'https://***@host/x'"),
        ("https://me:c@nary@host:x", "'https://***@host:x'"),
        ("https:/me:canary@host", "'https:/***@host'"),
        ("me:canary@host:9000", "'***@host:9000'"),
        ("me:canary\n'@\"host", "'***@\"host'"),
        ("host:9000?sig=canary", "'host:9000?***'"),
        ("me:" + "canary" * 99 + "@host", "'***@host'"),
        ("ext::sh -c id", "'ext::sh -c id'"),
    ],
)
def test_an_address_that_is_none_is_shown_without_what_may_be_a_login(
    address: str, shown: str
) -> None:
    assert shown_address(address) == shown


def test_a_password_with_the_sign_before_the_host_is_hidden_whole() -> None:
    assert redact("fatal: https://me:p@ss@host/x") == "fatal: https://***@host/x"
