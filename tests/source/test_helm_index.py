import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.source.helm import index_process
from services.source.helm.chart_repository import NoSuchChart
from services.source.helm.index import InvalidIndex, StoredIndex
from services.source.helm.index_process import ADDRESS_SPACE, IndexReader

MIB = 1024 * 1024
HEAD = b"apiVersion: v1\nentries:\n"
PAD = b"\n#" + b"-" * MIB  # too large to be read without a process
ENTRY = """\
  - apiVersion: v2
    appVersion: 1.10
    created: "2024-01-01T10:11:12.123456789Z"
    dependencies:
    - {{name: common, repository: 'oci://registry.example/charts', version: 2.x.x}}
    description: A chart that does what charts do, for everybody who has a use for it.
    digest: 1f0d1e5d0b3c4e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f
    home: https://example.com
    keywords: [one, two, three]
    maintainers:
    - {{name: Somebody, url: 'https://example.com/somebody'}}
    name: {name}
    sources: ['https://example.com/charts/{name}']
    urls: ['https://charts.example.com/{name}-1.{minor}.0.tgz']
    version: 1.{minor}.0
"""


async def read(raw: bytes, folder: Path) -> StoredIndex:
    path = folder / "index.json"
    with tempfile.TemporaryFile() as file, path.open("w+b") as into:
        file.write(raw)
        file.seek(0)
        await IndexReader().normalise(file, into)
    return StoredIndex.open(path)


def entry(name: str = "shop", version: Any = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"name": name, "version": version, "urls": [f"{name}.tgz"], **more}


def an_index(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "entries": {"shop": list(entries)}, **more}


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Path]:
    """40 MB, as `helm repo index` writes them."""
    path = tmp_path / "index.yaml"
    with path.open("w") as file:
        file.write(HEAD.decode())
        for number in range(1600):
            name = f"chart-{number}"
            file.write(f"  {name}:\n")
            file.writelines(ENTRY.format(name=name, minor=minor) for minor in range(40))
    assert path.stat().st_size > 40_000_000
    yield path
    path.unlink()


# The reader as the service runs it; it tells what it cost itself and its own process, in MiB.
MEASURED = """
import asyncio, re, resource, sys
from services.source.helm.index_process import IndexReader
with open(sys.argv[1], "rb") as raw, open(sys.argv[2], "w+b") as into:
    asyncio.run(IndexReader().normalise(raw, into))
own = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print((int(own) + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024)
"""


@pytest.mark.timeout(180)
async def test_an_index_of_40_mb_takes_less_than_100_mib(large: Path, tmp_path: Path) -> None:
    into = tmp_path / "stored.json"

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MEASURED, str(large), str(into)), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()

    assert 20 < int(said) < 100
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert StoredIndex.open(into).choose("chart-7", "1.x").version == "1.39.0"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80 * 1024  # mapped pages


async def test_the_loop_goes_on_while_an_index_is_read(tmp_path: Path) -> None:
    entries = "".join(ENTRY.format(name="shop", minor=minor) for minor in range(2000))
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        index = await read(HEAD + b"  shop:\n" + entries.encode(), tmp_path)
        watching.cancel()

    assert len(index.versions("shop")) == 2000
    assert longest < 0.25  # what other processes of a busy machine may take; parsing takes more


@pytest.mark.parametrize("form", ["yaml", "json"])
async def test_entries_that_break_the_rules_are_left_out(tmp_path: Path, form: str) -> None:
    index = an_index(
        *(entry(), entry(version="2.0"), entry(version="v3.0.0+b"), None, "text", {}),
        entry(version="one"),
        entry(name="other"),
        entry(version="4.0.0", urls=[]),
        entry(version="4.0.0", urls=None),
        entry(version="4.0.0", type="plugin"),
        entry(version="4.0.0", maintainers=[None]),
        entry(version="4.0.0", dependencies=[{"name": "a", "alias": "a b"}]),
        entry(version="4.0.0", created=["now"]),
        generated="2024-01-01T00:00:00Z",
        more={"than": "wanted"},
    )
    index["entries"] |= {"../a": [entry(name="../a")], "empty": [], "null": None, "z": ["x"]}
    raw = json.dumps(index) if form == "json" else yaml.safe_dump(index)

    stored = await read(raw.encode(), tmp_path)

    assert [each.version for each in stored.versions("shop")] == ["1.0.0", "2.0", "v3.0.0+b"]
    written = json.loads((tmp_path / "index.json").read_text())
    assert written.keys() == {"entries", "apiVersion", "generated"}
    assert written["entries"].keys() == {"shop"}


async def test_what_was_a_text_without_quotes_is_one(tmp_path: Path) -> None:
    """As for Helm, whose structures say what is a text."""
    raw = (
        HEAD
        + b"""  shop:
  - {name: shop, version: 1.10, appVersion: 2, urls: [1], keywords: [true, 1.5],
     annotations: {a: 1, b: no}}
"""
    )

    await read(raw, tmp_path)

    (written,) = json.loads((tmp_path / "index.json").read_text())["entries"]["shop"]
    texts = {"name": "shop", "version": "1.1", "appVersion": "2", "urls": ["1"]}
    more = {"keywords": ["true", "1.5"], "annotations": {"a": "1", "b": "false"}}
    assert written == texts | more


async def test_anchors_and_flow_are_read_as_any_yaml(tmp_path: Path) -> None:
    raw = b"""{apiVersion: v1, entries: {shop: &all [&one {name: shop, version: 1.0.0, urls: [a]},
    {<<: *one, version: 1.2.0}], other: *all}}"""

    stored = await read(raw, tmp_path)

    assert [each.version for each in stored.versions("shop")] == ["1.0.0", "1.2.0"]
    assert stored.versions("other") == []


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("1.x", "newer"),
        ("", "newer"),
        ("1.0.0+a", "older"),  # to the letter
        ("1.0.0", "newer"),
    ],
)
async def test_of_equal_versions_the_newest_is_taken(
    tmp_path: Path, wanted: str, chosen: str
) -> None:
    """Times are compared as times: by its letters the older one would be the later."""
    index = an_index(
        entry(version="1.0.0+a", urls=["older"], created="2024-05-01T23:00:00+02:00"),
        entry(version="1.0.0+b", urls=["newer"], created="2024-05-01T22:30:00.5Z"),
        entry(version="1.0.0+c", urls=["unknown"], created="yesterday"),
        entry(version="0.9.0", urls=["low"], created="2025-01-01T00:00:00Z"),
    )

    stored = await read(json.dumps(index).encode(), tmp_path)

    assert stored.choose("shop", wanted).urls == (chosen,)


async def test_what_the_index_does_not_have_is_said(tmp_path: Path) -> None:
    stored = await read(json.dumps(an_index(entry())).encode(), tmp_path)

    for name, wanted, problem in (
        ("gone", "*", "no chart 'gone' in the index"),
        ("shop", "2.x", "no version of chart 'shop' matches '2.x'"),
        ("shop", "a b", "'a b' is not a version range"),
    ):
        with pytest.raises(NoSuchChart, match=problem):
            stored.choose(name, wanted)


# Each step is flat enough, and begins where the one before it ended.
LADDER = b"".join(
    b"  - &s%d %s%s%s\n" % (n, b"[" * 150, b"*s%d" % (n - 1) if n else b"", b"]" * 150)
    for n in range(8)
)
HOSTILE = {
    "laughs": (
        HEAD
        + b"  a:\n  - &a0 {k: [1, 2, 3, 4, 5, 6, 7, 8]}\n"
        + b"".join(
            b"  - &a%d [%s]\n" % (n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 9)
        ),
        "too many values",
    ),
    "deep yaml": (HEAD + b"  a: " + b"[" * 100_000, "nests deeper"),
    "deep json": (b'{"apiVersion":"v1","entries":{"a":' + b"[" * 100_000, "nest"),
    "deep entry": (HEAD + b"  a: [{x: " + b"[" * 150 + b"]" * 150 + b"}]", None),
    "one value": (HEAD + b"  a:\n  - b: [" + b"[]," * 200_000 + b"]\n", "too many values"),
    "twice": (HEAD + b"  a: []\n  a: []\n", "comes twice"),
    "no list": (HEAD + b"  a: {b: c}\n", "not a sequence"),
    "no mapping": (b"apiVersion: v1\nentries: [a]\n", "not a mapping"),
    "merged": (HEAD + b"  <<: {a: []}\n", "not a sequence"),
    "binary": (b"\x00\x01\x02", "not UTF-8"),
    "half": (b'{"apiVersion":"v1","entries":{"a":[', "line"),
    "ladder": (HEAD + b"  a:\n" + LADDER, "nests deeper"),
    "bytes in a name": (b'{"apiVersion":"v1","entries":{"a\xff":[]}}', "not UTF-8"),
    "bytes in a text": (
        b'{"apiVersion":"v1","entries":{"a":[{"name":"a","version":"1.0.0",'
        b'"urls":["a"],"description":"\xc3"}]}}',
        "not UTF-8",
    ),
    "surrogate": (b'{"apiVersion":"v1","entries":{"\\ud800":[]}}', "line 1"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("pad", [b"", PAD], ids=["small", "large"])
async def test_a_hostile_index_ends_in_a_sentence(tmp_path: Path, name: str, pad: bytes) -> None:
    raw, problem = HOSTILE[name]

    if problem is None:
        assert (await read(raw + pad, tmp_path)).versions("a") == []
        return
    with pytest.raises(InvalidIndex, match=problem):
        await read(raw + pad, tmp_path)


async def test_a_million_tiny_entries_cost_time_and_no_memory(tmp_path: Path) -> None:
    raw = HEAD + b"  a:\n" + b"  - {}\n" * 1_000_000

    assert (await read(raw, tmp_path)).versions("a") == []


@pytest.mark.parametrize(
    "raw",
    [
        b'{"apiVersion":"v1","entries":{"a":[' + b"{}," * 8_000_000 + b"{}]}}",
        b'{"apiVersion":"v1",' + b",".join(b'"%d":0' % n for n in range(3_000_000)) + b"}",
    ],
    ids=["entries", "fields"],
)
async def test_an_index_that_would_take_gigabytes_ends_with_its_process(
    tmp_path: Path, raw: bytes
) -> None:
    with pytest.raises(InvalidIndex, match=f"more than {ADDRESS_SPACE // MIB} MiB of memory"):
        await read(raw, tmp_path)


async def test_an_index_that_takes_too_long_ends_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_process, "DEADLINE", timedelta(milliseconds=50))

    with pytest.raises(InvalidIndex, match="could not be read within"):
        await read(HEAD + b"  a:\n" + b"  - {}\n" * 1_000_000, tmp_path)
