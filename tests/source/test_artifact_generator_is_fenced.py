"""Properties: nothing leaves the artifact, and the same inputs make the same bytes in any order."""

import io
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import gettempdir

from hypothesis import given, settings
from hypothesis import strategies as st

from services.source.generator.assembly import Assembly, Budget
from services.source.generator.copy_operation import Copy, CopyError
from services.source.generator.path_glob import Glob, Pattern, excluding
from services.source.generator.path_text import Destination, PathError, clean_parts
from services.source.generator.sources import Found, SourceRef, sources_digest
from services.source.generator.tree import Tree
from services.source.generator.workbench import Workbench
from shared.archive import ArchiveError, Entry, pack, unpack
from shared.resources.meta import Artifact, NamespacedName
from shared.resources.source.artifact_generator import CopyOperation

BENCHES = Path(gettempdir())

NAMES = st.sampled_from(
    ["a", "b", "a.yaml", "b.yml", "x.tgz", "..x", "*", "{a}", "[", "é", "-", "\\"]
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ODD = st.lists(
    st.sampled_from(
        ["a", "b", "..", ".", "", "*", "**", "?", "{x}", "{a,b}", "[a-b]", "\\*", "/", "\0"]
    ),
    max_size=6,
).map("/".join)
GLOBS = st.one_of(ODD, PATHS, ANY_TEXT)
CAPTURES = st.dictionaries(st.just("x"), NAMES, max_size=1)
OPERATIONS = st.builds(
    lambda source, to, exclude, strategy: CopyOperation(
        from_=f"@git/{source}", to=f"@artifact/{to}", exclude=exclude, strategy=strategy
    ),
    GLOBS,
    st.one_of(ODD, ANY_TEXT),
    st.lists(GLOBS, max_size=2).map(tuple),
    st.sampled_from([None, "Overwrite", "Merge", "Extract"]),
)


def archive() -> bytes:
    into = io.BytesIO()
    pack([Entry("in/side.yaml", 0o600, b"a: 1\n")], into)
    return into.getvalue()


CONTENTS = st.sampled_from([b"", b"a: {b: 1}\n", b"\xff", archive()])


def without_conflicts(files: dict[str, bytes]) -> dict[str, bytes]:
    """No path is a file and a directory."""
    return {
        path: content
        for path, content in files.items()
        if not any(other.startswith(f"{path}/") for other in files)
    }


TREES = st.dictionaries(PATHS, CONTENTS, min_size=1, max_size=8).map(without_conflicts)


@settings(deadline=None, max_examples=300)
@given(TREES, st.lists(OPERATIONS, min_size=1, max_size=3), CAPTURES)
def test_no_copy_leaves_its_destination(
    files: dict[str, bytes], operations: list[CopyOperation], captures: dict[str, str]
) -> None:
    with Workbench(BENCHES) as bench:
        tree = Tree({path: bench.put(content) for path, content in files.items()})
        for operation in operations:
            assembly = Assembly(bench, Budget())
            try:
                copy = Copy(operation, captures)
                assembly.copy(copy, tree)
                into = io.BytesIO()
                pack(assembly.entries(), into)
            except (PathError, CopyError, ArchiveError):
                continue
            into.seek(0)
            for entry in unpack(into, strict=True):
                assert clean_parts(entry.path) == entry.path.split("/")
                assert f"{entry.path}/".startswith(f"{copy.to.path}/" if copy.to.path else "")


@settings(deadline=None, max_examples=300)
@given(GLOBS, CAPTURES)
def test_whatever_is_written_is_a_glob_or_refused(text: str, captures: dict[str, str]) -> None:
    with suppress(PathError):
        Glob.parse(text, captures)
    with suppress(PathError):
        Pattern.parse(text)
    with suppress(PathError):
        excluding([text], captures)
    with suppress(PathError):
        Destination.parse(f"@artifact/{text}", captures)


@settings(deadline=None, max_examples=100)
@given(TREES, st.lists(OPERATIONS, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(
    files: dict[str, bytes], operations: list[CopyOperation], random: Random
) -> None:
    shuffled = list(files.items())
    random.shuffle(shuffled)

    made = []
    for order in (list(files.items()), shuffled):
        with Workbench(BENCHES) as bench:
            tree = Tree({path: bench.put(content) for path, content in order})
            assembly = Assembly(bench, Budget())
            try:
                for operation in operations:
                    assembly.copy(Copy(operation, {}), tree)
            except (PathError, CopyError):
                return
            made.append((assembly.listing(), list(assembly.entries())))

    assert made[0] == made[1]


ARTIFACTS = st.builds(
    lambda digest, revision: Artifact(
        digest=digest, path="p", url="http://u", revision=revision, last_update_time=""
    ),
    ANY_TEXT,
    ANY_TEXT,
)


@given(st.dictionaries(NAMES, ARTIFACTS), st.randoms(use_true_random=False))
def test_the_order_of_sources_does_not_matter(
    artifacts: dict[str, Artifact], random: Random
) -> None:
    ref = SourceRef("GitRepository", NamespacedName("n", "x"))
    sources = {alias: Found(ref, artifact) for alias, artifact in artifacts.items()}
    shuffled = list(sources.items())
    random.shuffle(shuffled)

    assert sources_digest(dict(shuffled)) == sources_digest(sources)
