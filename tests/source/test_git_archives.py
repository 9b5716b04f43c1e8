import io
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.git.archive import Archived, GitArchive, _Objects
from services.source.git.mirror import Place
from services.source.git.reference import Target
from services.source.git.remote import Remote
from services.source.git.runner import GitError
from services.source.git.shards import PackedFile
from services.source.storage import Owner
from shared.archive import ArchiveError, Entry, Limits, Packed, unpack
from shared.artifact_file import ArtifactFile
from tests.source.conftest import Tools, commit_tree, git_in

SOON = timedelta(seconds=20)


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"a.yaml": "a: 1\n", "b/c.yaml": "c: 1\n"})


async def archived(
    repository: Repository, tools: Tools, ignore: str | None = None
) -> tuple[Archived, list[Entry]]:
    commit = await repository.revision("refs/heads/main")
    target = Target("refs/heads/main", commit, "main")
    into = io.BytesIO()
    async with tools.mirrors.opened(Place(repository.url, ""), SOON) as mirror:
        await mirror.fetch(Remote(repository.url), target)
        result = await tools.archive.write(mirror, commit, ignore, into)
    return result, list(unpack(into.getvalue()))


async def test_the_files_of_a_commit_are_packed(shop: Repository, tools: Tools) -> None:
    result, entries = await archived(shop, tools)

    assert [(e.path, e.content) for e in entries] == [
        ("a.yaml", b"a: 1\n"),
        ("b/c.yaml", b"c: 1\n"),
    ]
    assert result.subject == "Begin"


async def test_the_same_tree_has_the_same_digest_in_another_commit(
    shop: Repository, tools: Tools
) -> None:
    before, _ = await archived(shop, tools)
    await shop.commit("add", {"x": "y"})
    between, _ = await archived(shop, tools)
    await shop.commit("remove\n\nwith a body", remove=["x"])
    after, _ = await archived(shop, tools)

    assert before.packed == after.packed != between.packed
    assert after.subject == "remove"


async def test_ignored_files_stay_out_and_source_ignores_are_read(
    shop: Repository, tools: Tools
) -> None:
    await shop.commit("more", {"b/.sourceignore": "*.md\n", "b/x.md": "", "y.md": "", "z.txt": ""})

    _, entries = await archived(shop, tools, ignore="*.txt\n")

    assert [e.path for e in entries] == ["a.yaml", "b/.sourceignore", "b/c.yaml", "y.md"]


async def test_links_and_submodules_stay_out(shop: Repository, tools: Tools) -> None:
    blob = (await git_in(shop, "hash-object", "-w", "--stdin", given=b"/etc/passwd")).decode()
    await commit_tree(
        shop,
        f"120000 blob {blob}\tlink\n100644 blob {blob}\tplain\n"
        f"160000 commit {shop.head}\tsub\n100755 blob {blob}\trun\n",
    )

    _, entries = await archived(shop, tools)

    assert [(e.path, e.mode) for e in entries] == [("plain", 0o600), ("run", 0o700)]


async def test_attributes_and_filters_of_the_repository_mean_nothing(
    shop: Repository, tools: Tools, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    await shop.commit(
        "trap",
        {
            ".gitattributes": "a.yaml export-ignore\n* filter=evil ident export-subst\n",
            ".gitmodules": f"[submodule 'x']\n url = ext::sh -c touch% {canary}\n path = b\n",
            "subst.txt": "$Format:%H$ $Id$\n",
            "lfs.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
            "hooks/post-checkout": f"#!/bin/sh\ntouch {canary}\n",
        },
    )

    _, entries = await archived(shop, tools)

    contents = {e.path: e.content for e in entries}
    assert contents["subst.txt"] == b"$Format:%H$ $Id$\n"
    assert contents["lfs.bin"].startswith(b"version https://git-lfs")
    assert {"a.yaml", "hooks/post-checkout"} <= set(contents)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["..", ".git", "a\\..\\b", ".GIT"])
async def test_a_tree_with_a_name_that_leads_out_is_refused_or_harmless(
    shop: Repository, tools: Tools, name: str
) -> None:
    blob = (await git_in(shop, "hash-object", "-w", "--stdin", given=b"x")).decode()
    raw = b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob)
    tree = await git_in(
        shop, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", given=raw
    )
    await shop.branch(
        "main", (await git_in(shop, "commit-tree", "-m", "x", tree.decode())).decode()
    )

    try:
        _, entries = await archived(shop, tools)
    except (GitError, ArchiveError):
        return

    assert [e.path for e in entries] == ["a\\..\\b"]


async def test_names_with_odd_characters_come_through(shop: Repository, tools: Tools) -> None:
    names = {"a b": "1", "tab\there": "2", 'quote"s': "3", "ünï/cödé": "4", "nl\nx": "5"}
    await shop.commit("odd", names)

    _, entries = await archived(shop, tools)

    assert names.items() <= {e.path: e.content.decode() for e in entries}.items()


async def test_too_much_is_refused_before_it_is_read(shop: Repository, tools: Tools) -> None:
    await shop.commit("large", {"large": "x" * 5000})
    tools.archive = GitArchive(tools.git, Limits(total=4000, file=4000, entries=100))

    with pytest.raises(ArchiveError, match="more than the 4000"):
        await archived(shop, tools)


async def test_thousands_of_files_and_large_ones_come_through(
    shop: Repository, tools: Tools
) -> None:
    files = {f"d{n % 7}/f{n:04}": f"{n}\n" * 20 for n in range(3000)}
    await shop.commit("many", files | {"big": "0123456789" * 300_000})

    _, entries = await archived(shop, tools)

    assert len(entries) == 3003
    assert {e.path: e.content for e in entries}["big"] == b"0123456789" * 300_000


async def test_of_a_large_repository_only_what_changed_is_read(
    shop: Repository, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = _Objects.contents

    async def counted(objects: _Objects, files: Sequence[PackedFile]) -> list[bytes]:
        asked.extend(file.path for file in files)
        return await read(objects, files)

    monkeypatch.setattr(_Objects, "contents", counted)
    await shop.commit("many", {f"d{n % 7}/f{n:04}": f"{n}\n" * 2000 for n in range(1000)})
    first = await stored(shop, tools)
    asked.clear()
    await shop.commit("one", {"d3/f0010": "changed"})

    second = await stored(shop, tools)

    assert 0 < len(asked) < 200
    fresh, _ = await archived(shop, tools)  # with nothing to copy from
    assert second == fresh.packed != first


async def stored(repository: Repository, tools: Tools) -> Packed:
    commit = await repository.revision("refs/heads/main")
    target = Target("refs/heads/main", commit, "main")
    async with tools.mirrors.opened(Place(repository.url, ""), SOON) as mirror:
        await mirror.fetch(Remote(repository.url), target)

        async def fill(file: ArtifactFile) -> Packed:
            return (await tools.archive.write(mirror, commit, None, file)).packed

        return await tools.storage.write(
            Owner("gitrepository", "team", "shop"), f"{commit}.tar.gz", fill
        )
