"""What globs, captures, excludes and strategies mean: tables over small trees."""

import io
import tarfile
from pathlib import Path

import pytest

from services.source.generator.assembly import Assembly, Budget
from services.source.generator.copy_operation import Copy, CopyError
from services.source.generator.path_glob import Glob, Pattern, excluding
from services.source.generator.path_text import Destination, PathError
from services.source.generator.tree import Tree
from services.source.generator.workbench import TooMuch, Workbench
from shared.archive import Limits
from shared.resources.source.artifact_generator import CopyOperation
from tests.support.packing import entry

PATHS = (
    *("README.md", "apps/a/x.yaml", "apps/a/y.txt", "apps/a/deep/er/z.yaml", "apps/b/x.yaml"),
    *("apps/b.yml", "apps0/x.yaml", "conf/[odd]/1.yaml"),
)


def targz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, content in (entry(path, content) for path, content in files.items()):
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


FILES = {path: path.encode() for path in PATHS}


def tree_of(bench: Workbench, files: dict[str, bytes]) -> Tree:
    return Tree({path: bench.put(content) for path, content in files.items()})


def copied(
    folder: Path, *operations: CopyOperation, files: dict[str, bytes] = FILES
) -> dict[str, bytes]:
    with Workbench(folder) as bench:
        tree = tree_of(bench, files)
        assembly = Assembly(bench, Budget())
        for operation in operations:
            assembly.copy(Copy(operation, {}), tree)
        return {entry.path: entry.content for entry in assembly.entries()}


def a_copy(source: str, to: str = "@artifact/", *exclude: str, strategy: str = "") -> CopyOperation:
    return CopyOperation(from_=f"@git/{source}", to=to, exclude=exclude, strategy=strategy or None)


IN_A = ["deep/er/z.yaml", "x.yaml", "y.txt"]


@pytest.mark.parametrize(
    ("source", "to", "lands"),
    [
        ("README.md", "@artifact/", ["README.md"]),
        ("README.md", "@artifact/docs/", ["docs/README.md"]),
        ("README.md", "@artifact/docs", ["docs"]),
        ("./README.md", "@artifact/./docs//x.md", ["docs/x.md"]),
        ("apps/a", "@artifact/", [f"a/{path}" for path in IN_A]),
        ("apps/a/", "@artifact/to", [f"to/a/{path}" for path in IN_A]),
        ("apps/a/**", "@artifact/", IN_A),
        ("apps/a/**", "@artifact/to", [f"to/{path}" for path in IN_A]),
        ("apps/a/*", "@artifact/", IN_A),
        ("apps/a/*.yaml", "@artifact/", ["x.yaml"]),
        ("apps/a/**/*.yaml", "@artifact/", ["deep/er/z.yaml", "x.yaml"]),
        ("apps/*/x.yaml", "@artifact/", ["a/x.yaml", "b/x.yaml"]),
        ("apps/?/x.yaml", "@artifact/", ["a/x.yaml", "b/x.yaml"]),
        ("apps/[!a]/x.yaml", "@artifact/", ["b/x.yaml"]),
        ("apps/[a-a]/x.yaml", "@artifact/", ["a/x.yaml"]),
        ("apps/*.{yaml,yml}", "@artifact/", ["b.yml"]),
        ("**/x.yaml", "@artifact/", ["apps/a/x.yaml", "apps/b/x.yaml", "apps0/x.yaml"]),
        (r"conf/\[odd\]", "@artifact/", ["[odd]/1.yaml"]),
        (r"conf/\[odd\]/1.yaml", "@artifact/", ["1.yaml"]),
        ("", "@artifact/all", [f"all/{path}" for path in sorted(PATHS)]),
        ("**", "@artifact/", sorted(PATHS)),
        ("a*", "@artifact/", [path for path in sorted(PATHS) if path.startswith("apps")]),
    ],
)
def test_where_a_copy_lands(tmp_path: Path, source: str, to: str, lands: list[str]) -> None:
    assert list(copied(tmp_path, a_copy(source, to))) == lands


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["*.yaml"], ["a/y.txt"]),
        (["x.yaml"], ["a/deep/er/z.yaml", "a/y.txt"]),
        (["deep/**"], ["a/x.yaml", "a/y.txt"]),
        (["deep/"], ["a/x.yaml", "a/y.txt"]),
        (["apps/a/deep/**", "apps/a/x.*"], ["a/y.txt"]),
        (["**/*.yaml"], ["a/y.txt"]),
        (["apps/*.yaml", "deep", "er"], ["a/deep/er/z.yaml", "a/x.yaml", "a/y.txt"]),
    ],
)
def test_what_an_exclude_leaves_out(tmp_path: Path, exclude: list[str], left: list[str]) -> None:
    """From the source's root, or from the fixed part of `from`; without a slash, names of files."""
    assert list(copied(tmp_path, a_copy("apps/a", "@artifact/", *exclude))) == left


def test_a_file_lands_in_a_directory_that_is_there(tmp_path: Path) -> None:
    files = copied(tmp_path, a_copy("apps/a", "@artifact/"), a_copy("README.md", "@artifact/a"))

    assert "a/README.md" in files


FIRST, SECOND = b"a: {b: 1, c: [1]}\nd: 1\n", b"a: {b: 2, c: []}\n"


@pytest.mark.parametrize(
    ("strategy", "name", "content"),
    [
        ("", "v.yaml", SECOND),
        ("Overwrite", "v.yaml", SECOND),
        ("Merge", "v.yaml", b"a:\n  b: 2\n  c: []\nd: 1\n"),
        ("Merge", "v.txt", SECOND),
        ("Merge", "new.yaml", SECOND),
    ],
)
def test_what_becomes_of_a_file_that_exists(
    tmp_path: Path, strategy: str, name: str, content: bytes
) -> None:
    files = {"1/v.yaml": FIRST, "1/v.txt": FIRST} | {f"2/{name}": SECOND}
    operations = a_copy("1/**"), a_copy("2/**", "@artifact/", strategy=strategy)

    assert copied(tmp_path, *operations, files=files)[name] == content


@pytest.mark.parametrize("broken", [b"- 1\n", b"a: 1\n---\nb: 1\n", b"a: [\n", b"\xff"])
def test_what_is_not_one_mapping_is_not_merged(tmp_path: Path, broken: bytes) -> None:
    files = {"1/v.yaml": FIRST, "2/v.yaml": broken}

    with pytest.raises(CopyError, match=r"^strategy: 'v.yaml' cannot be merged: "):
        copied(tmp_path, a_copy("1/**"), a_copy("2/**", strategy="Merge"), files=files)


@pytest.mark.parametrize(
    ("source", "to", "lands"),
    [
        ("x/a.tgz", "@artifact/", ["f", "g/h"]),
        ("x/a.tgz", "@artifact/to", ["to/f", "to/g/h"]),
        ("x/**", "@artifact/to", ["to/f", "to/g/h", "to/y/f", "to/y/g/h"]),
        ("x", "@artifact/", ["x/f", "x/g/h", "x/y/f", "x/y/g/h"]),
    ],
)
def test_archives_are_extracted_to_where_they_would_be(
    tmp_path: Path, source: str, to: str, lands: list[str]
) -> None:
    archive = targz({"f": b"1", "g/h": b"2"})
    files = {"x/a.tgz": archive, "x/y/b.tar.gz": archive, "x/other.zip": b"PK"}

    assert list(copied(tmp_path, a_copy(source, to, strategy="Extract"), files=files)) == lands


@pytest.mark.parametrize(
    ("source", "files", "problem"),
    [
        ("x.zip", {"x.zip": b"PK"}, "strategy: Extract takes .tar.gz and .tgz files"),
        ("x.tgz", {"x.tgz": b"no"}, "strategy: 'x.tgz' cannot be extracted"),
        ("x.tgz", {"x.tgz": targz({"../up": b"1"})}, "not a path inside the archive"),
        ("y.tgz", {"x.tgz": b"no"}, "from: nothing in the source matches '@git/y.tgz'"),
    ],
)
def test_what_cannot_be_extracted_is_named(
    tmp_path: Path, source: str, files: dict[str, bytes], problem: str
) -> None:
    with pytest.raises(CopyError) as caught:
        copied(tmp_path, a_copy(source, strategy="Extract"), files=files)

    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (a_copy("README.md", "@artifact/x"), a_copy("apps/a", "@artifact/x"), "'x' is a file"),
        (
            a_copy("apps/b/**", "@artifact/b.yml"),
            a_copy("apps/*.yml", "@artifact/"),
            "'b.yml' is a directory",
        ),
    ],
)
def test_nothing_is_a_file_and_a_directory(
    tmp_path: Path, first: CopyOperation, second: CopyOperation, problem: str
) -> None:
    with pytest.raises(CopyError, match=rf"^to: {problem}"):
        copied(tmp_path, first, second)


@pytest.mark.parametrize(
    ("text", "captures", "directories"),
    [
        ("apps/{app}", {"app"}, {"apps/a": {"app": "a"}, "apps/b": {"app": "b"}}),
        ("{x}-{y}", {"x", "y"}, {"p-q": {"x": "p", "y": "q"}}),
        ("apps/*/{e}", {"e"}, {"apps/a/prod": {"e": "prod"}}),
        ("**/{e}", {"e"}, {"apps": {"e": "apps"}, "apps/a/prod": {"e": "prod"}}),
        ("apps/{A-1}", {"A-1"}, {"apps/a": {"A-1": "a"}}),
    ],
)
def test_what_a_path_pattern_captures(
    text: str, captures: set[str], directories: dict[str, dict[str, str]]
) -> None:
    pattern = Pattern.parse(text)

    assert set(pattern.names) == captures
    for directory, found in directories.items():
        assert pattern.captures(directory) == found
    assert pattern.captures("elsewhere/and/deeper/apps/a/prod/x/y.z/") is None


def test_what_was_captured_is_taken_literally() -> None:
    glob = Glob.parse("apps/{app}/*", {"app": "a*[b]{c}"})

    assert glob.fixed == "apps/a*[b]{c}"
    assert glob.matches("apps/a*[b]{c}/x")
    assert not glob.matches("apps/aXb/x")


@pytest.mark.parametrize(
    "text",
    [
        "../x",
        "a/../../x",
        "a/{b",
        "a/{b,{c,d}}",
        "a/[b",
        "[z-a]",
        "x\\",
        "a\0b",
        "{no}",
        "x" * 1025,
    ],
)
def test_what_is_no_glob_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        Glob.parse(text, {})
    with pytest.raises(PathError):
        excluding([text], {})


@pytest.mark.parametrize(
    "text", ["@artifact/../x", "@git/x", "@artifact/a/../b", "artifact/x", "@artifact/{no}"]
)
def test_what_is_no_destination_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        Destination.parse(text, {})


def test_a_capture_is_not_given_twice() -> None:
    with pytest.raises(PathError, match=r"captures \{x\} twice"):
        Pattern.parse("{x}/{x}")


def test_no_glob_is_a_bomb() -> None:
    path = "a" * 200 + "/" + "/".join("ab" * 20 for _ in range(90))

    assert not Glob.parse("/".join(["**", "*a*b*a*"] * 60) + "/c", {}).matches(path)
    assert not Glob.parse("*a" * 500 + "c", {}).matches("a" * 255)
    assert excluding(["*a" * 400 + "c"] * 100, {}) is not None


def test_looking_at_files_has_an_end(tmp_path: Path) -> None:
    with Workbench(tmp_path) as bench:
        tree = tree_of(bench, FILES)
        assembly = Assembly(bench, Budget(steps=len(PATHS) + 1))
        copy = Copy(a_copy("**"), {})
        assembly.copy(copy, tree)

        with pytest.raises(CopyError, match="look at too many files"):
            assembly.copy(copy, tree)


@pytest.mark.parametrize("budget", [Budget(files=7), Budget(size=60)])
def test_artifacts_have_an_end(tmp_path: Path, budget: Budget) -> None:
    with Workbench(tmp_path) as bench:
        tree = tree_of(bench, FILES)

        with pytest.raises(CopyError, match="make several ArtifactGenerators"):
            Assembly(bench, budget).copy(Copy(a_copy("**"), {}), tree)


def test_a_workbench_has_an_end(tmp_path: Path) -> None:
    with Workbench(tmp_path, Limits(total=10, file=10, entries=3)) as bench:
        bench.put(b"12345")
        with pytest.raises(TooMuch, match="MiB of files"):
            bench.put(b"123456")
        bench.put(b"1")
        with pytest.raises(TooMuch, match="more than 3 files"):
            bench.put(b"1")


def test_a_bench_leaves_nothing_behind(tmp_path: Path) -> None:
    with Workbench(tmp_path) as bench:
        bench.put(b"content")

    assert list(tmp_path.iterdir()) == []
