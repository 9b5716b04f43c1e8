import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.source import gitignore
from services.source.ignore import IgnoreRules

TREE = (
    *(".gitignore", ".gitmodules", ".github/ci.yml", ".sops.yaml", "README.md", "logo.png"),
    *("deploy/app.yaml", "deploy/docs/a.md", "deploy/docs/b.txt", "deploy/.gitattributes"),
    *("src/main.go", "src/deploy/x.yaml", "src/.git/config"),
)


def kept(spec_ignore: str | None = None, **source_ignores: str) -> list[str]:
    rules = IgnoreRules(source_ignores, spec_ignore)
    return [path for path in TREE if not rules.exclude(path)]


def test_without_a_word_pictures_and_ci_files_stay_out() -> None:
    assert kept() == [
        *("README.md", "deploy/app.yaml", "deploy/docs/a.md", "deploy/docs/b.txt"),
        *("src/main.go", "src/deploy/x.yaml"),
    ]


def test_the_defaults_stand_back_for_any_rule_of_ones_own() -> None:
    assert "logo.png" in kept("/src\n")
    assert "logo.png" in kept(None, **{"": "/src\n"})
    assert "logo.png" not in kept("# only a comment\n\n")


def test_files_of_version_control_stay_out_whatever_is_said() -> None:
    assert not {".gitignore", ".gitmodules", "src/.git/config"} & set(kept("/src/main.go\n"))


def test_everything_but_one_directory() -> None:
    only_deploy = "/*\n!/deploy\n/deploy/**/*.md\n/deploy/**/*.txt\n"

    assert kept(only_deploy) == ["deploy/app.yaml", "deploy/.gitattributes"]


def test_a_source_ignore_speaks_for_its_own_directory() -> None:
    assert "README.md" in kept(None, deploy="*.md\n/app.yaml\n")
    assert not {"deploy/docs/a.md", "deploy/app.yaml"} & set(kept(None, deploy="*.md\n/app.yaml"))


def test_the_spec_has_the_last_word() -> None:
    assert "deploy/docs/a.md" in kept("!*.md\n", deploy="*.md\n")


def test_a_file_comes_back_from_a_directory_that_is_left_out() -> None:
    assert kept("/*\n!/src/main.go\n") == ["src/main.go"]


@pytest.mark.parametrize(
    ("line", "path", "matches"),
    [
        ("*.md", "a/b.md", True),
        ("/*.md", "a/b.md", False),
        ("a/*.md", "x/a/b.md", False),
        ("**/a/*.md", "x/a/b.md", True),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/x/y/c", True),
        ("a/**", "a", False),
        ("a/**", "a/b", True),
        ("dir/", "dir", False),
        ("dir/", "x/dir/file", True),
        ("[!a]b", "cb", True),
        ("[!a]b", "ab", False),
        ("a?c", "a/c", False),
        ("[--0]x", ".x", True),
        ("[+--]x", ",x", True),
        ("[a-]x", "-x", True),
        ("[]-a]x", "^x", True),
        (r"[\--0]x", "/x", False),
        ("[&&a||b~~]x", "|x", True),
        ("no\u2028end", "no", False),
        ("no\x0cend", "end", False),
        (r"\#x", "#x", True),
        (r"a\ ", "a ", True),
        ("a ", "a", True),
        ("line", "two\nline", False),
        ("x[", "x[", False),
    ],
)
def test_a_line_means_what_it_means_to_git(line: str, path: str, matches: bool) -> None:
    parsed = gitignore.parse(line)
    rules = IgnoreRules({}, line)

    assert rules.exclude(path) is matches
    assert (parsed is None) == (line == "x[")


@pytest.fixture(scope="module")
def a_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ignore")
    subprocess.run(["git", "init", "-q", path], check=True)
    return path


segments = st.sampled_from(
    ["**", "a", "*", "*b", "a*", "a?", "[ab]", "[!a]c", "a*b*c", "x.y", "*.y"]
)
patterns = st.builds(
    lambda slash, parts, end: slash + "/".join(parts) + end,
    st.sampled_from(["", "/"]),
    st.lists(segments, min_size=1, max_size=4),
    st.sampled_from(["", "/"]),
)
paths = st.lists(
    st.sampled_from(["a", "b", "ab", "abc", "bc", "aXbXc", "x.y"]), min_size=1, max_size=5
).map("/".join)


@settings(max_examples=40, deadline=None)
@given(patterns, st.sets(paths, min_size=1, max_size=30))
def test_git_itself_agrees(a_repository: Path, pattern: str, some_paths: set[str]) -> None:
    (a_repository / ".git/info/exclude").write_text(pattern)
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=a_repository,
        input="\0".join(some_paths).encode(),
        capture_output=True,
        check=False,
    )
    rules = IgnoreRules({}, f"{pattern}\n#")

    excluded = {path for path in some_paths if rules.exclude(path)}

    assert excluded == set(filter(None, asked.stdout.decode().split("\0")))


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("*a" * 100 + "b", "a" * 255),
        ("/**/*a*" * 20 + "/b", "/".join(["aaaa"] * 100)),
        ("**/" * 50 + "b", "/".join("a" * 100)),
        ("/**/a" * 30 + "/b", "/".join("a" * 100)),
    ],
)
def test_no_line_takes_long_on_any_path(line: str, path: str) -> None:
    rules = IgnoreRules({}, line)

    started = time.process_time()
    assert rules.exclude(path) is False
    assert time.process_time() - started < 0.1
