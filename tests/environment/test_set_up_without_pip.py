"""Set-up where Python has no pip: it comes from the configured index, and only the right one."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from penstock import bootstrap, pip_wheel
from penstock.pip_wheel import WHEEL, WheelUnavailable, fetch_pip

CONTENT = b"a wheel"
PAGE = f'<!DOCTYPE html><a href="/old.whl">old</a><a href="../../files/{WHEEL}#sha256=ab">new</a>'


class Index:
    """A package index with one wheel."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.page = PAGE
        self.url = ""


@contextmanager
def serving(index: Index) -> Iterator[Index]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.seen.append((self.path, self.headers.get("Authorization", "")))
            body = CONTENT if self.path.endswith(".whl") else index.page.encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on standard error."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    index.url = f"127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.delenv("PIP_CERT", raising=False)
    monkeypatch.setattr(pip_wheel, "CONFIGURATION_FILES", ())
    monkeypatch.setattr(pip_wheel, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    with serving(Index()) as running:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://{running.url}")
        yield running


def test_pip_comes_from_the_configured_index(index: Index, tmp_path: Path) -> None:
    wheel = fetch_pip(tmp_path)

    assert wheel.read_bytes() == CONTENT
    assert [path for path, _ in index.seen] == ["/simple/pip/", f"/files/{WHEEL}"]


def test_pips_own_configuration_file_names_the_index(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nindex-url = http://{index.url}/\n")
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))

    assert fetch_pip(tmp_path).read_bytes() == CONTENT


def test_another_file_under_its_name_is_refused(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pip_wheel, "SHA256", "0" * 64)

    with pytest.raises(WheelUnavailable, match="not the real one"):
        fetch_pip(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_the_indexs_password_is_sent_and_never_shown(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:s3cret@{index.url}")
    index.page = "<html>nothing</html>"

    with pytest.raises(WheelUnavailable, match="does not list") as refused:
        fetch_pip(tmp_path)

    assert index.seen == [("/simple/pip/", "Basic bWU6czNjcmV0")]
    assert "s3cret" not in str(refused.value)


def test_an_index_that_does_not_answer_is_named_with_the_remedy(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")

    with pytest.raises(WheelUnavailable, match=r"127\.0\.0\.1:9.*PIP_INDEX_URL.*python3-venv"):
        fetch_pip(tmp_path)


def test_an_old_python_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "OLDEST", (99, 0))

    assert bootstrap.main() == 1
    assert re.search(r"needs Python 99\.0 .*make setup PYTHON=", capsys.readouterr().err)
