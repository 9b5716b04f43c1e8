"""Whatever a server sends as its index, what is stored can be read, or it is refused in words."""

import mmap
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

import orjson
import pytest

from services.source.helm.chart_repository import NoSuchChart
from services.source.helm.index import InvalidIndex, StoredIndex
from services.source.helm.index_reading import normalise
from tests.support.fuzzing import Campaign, Mutator, campaigns, texts

YAMLS = texts(
    [
        "apiVersion: v1\nentries:\n  a:\n  - {name: a, version: 1.0.0, urls: [a.tgz]}\n",
        "apiVersion: v1\nentries:\n  a:\n  - name: a\n    version: 1.10\n    urls: &u\n    - a\n"
        "  - name: a\n    version: 2.0.0\n    urls: *u\n",
        "apiVersion: v1\ngenerated: 2026-01-01T00:00:00Z\nentries:\n  b:\n  - name: b\n"
        "    version: v3\n    created: 1\n    urls: ['x']\n    dependencies: [{alias: c}]\n",
        "entries: {a: [{<<: {name: a}, version: 0x1, urls: [~]}]}\napiVersion: !!str 1\n",
        "apiVersion: v1\nserverInfo: {a: [1, 1e9, .inf, null, ~]}\nentries: null\n",
        "--- # one\napiVersion: v1\nentries: {a: &v [{name: a, version: 1.0.0, urls: [a]}], b: *v}",
    ]
)
JSONS = texts(
    [
        '{"apiVersion":"v1","entries":{"a":[{"name":"a","version":"1.0.0","urls":["a.tgz"]}]}}',
        '{"entries":{"a":[{"name":"a","version":"1.0.0","urls":["a"],"description":"\\ud83d\\ude00"'
        ',"created":"2026-01-01T00:00:00Z"}],"b":null},"apiVersion":"v1","serverInfo":{"x":1.5}}',
        '{"apiVersion":"v1","entries":{"a":[{"name":"a","version":"1","urls":["a"],"type":"library"'
        ',"maintainers":[{"name":"m"}],"dependencies":[{"alias":"x"}]},{}]},"generated":null}',
    ]
)
NOT_UTF8 = (b"\xc3", b"\xed\xa0\x80", b"\xff\xfe", b"\x80")
TOKENS = texts(
    [
        *(
            "{",
            "}",
            "[",
            "]",
            "[[[[[[[[",
            "- ",
            "? ",
            "&a ",
            "*a",
            "*u",
            "<<: *u",
            "!!binary ",
            "!x ",
        ),
        *(
            "~",
            "null",
            "true",
            ".nan",
            "1e999",
            "0o17",
            "\\ud800",
            "\\u0000",
            '"',
            "'",
            "|\n",
            ">-\n",
        ),
        *("\n---\n", "\n...\n", "%YAML 9.9\n", "\ufeff", "\t", "\x85", "#", ",", ": ", "*v", "&v "),
        *('"a":', '"entries":{', "entries:\n", "name: b\n", '"name":"b"', "\x1b", "é", "1" * 400),
    ]
)


class Files:
    def __init__(self, raw: BinaryIO, stored: BinaryIO) -> None:
        self.raw = raw
        self.stored = stored

    def read(self, sample: bytes) -> None:
        for file, content in ((self.raw, sample), (self.stored, b"")):
            file.seek(0)
            file.truncate()
            file.write(content)
            file.flush()
        self.raw.seek(0)
        self.stored.seek(0)
        said = ""
        try:
            normalise(self.raw, self.stored)
        except InvalidIndex as error:
            said = str(error)
        else:
            self._stands()
        assert said.isprintable(), said

    def _stands(self) -> None:
        with mmap.mmap(self.stored.fileno(), 0, access=mmap.ACCESS_READ) as stored:
            charts = orjson.loads(stored[:])["entries"]
        index = StoredIndex.of(self.stored)
        for name, versions in charts.items():
            assert len(index.versions(name)) == len(versions) > 0
            try:
                assert index.choose(name, "*-0").urls
            except NoSuchChart:
                continue


@pytest.fixture
def files() -> Iterator[Files]:
    with (
        os.fdopen(os.memfd_create("raw"), "w+b") as raw,
        os.fdopen(os.memfd_create("stored"), "w+b") as stored,
    ):
        yield Files(raw, stored)


@campaigns
def test_any_yaml_is_stored_as_an_index_that_stands_or_is_refused(
    campaign: Campaign, say: Callable[[str], None], files: Files
) -> None:
    campaign.run(Mutator(YAMLS, TOKENS + NOT_UTF8, longest=1024), files.read, say)


@campaigns
def test_any_json_is_stored_as_an_index_that_stands_or_is_refused(
    campaign: Campaign, say: Callable[[str], None], files: Files
) -> None:
    campaign.run(Mutator(JSONS, TOKENS + NOT_UTF8, longest=1024), files.read, say)
