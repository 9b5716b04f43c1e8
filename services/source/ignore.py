"""What stays out of an artifact: `.sourceignore` files and `spec.ignore`, as Flux weighs them.

Version control's own files come first, then the defaults or the `.sourceignore` files, then
`spec.ignore`; for each path the last line that matches decides. (Other than in git, a line may
bring back a file below a directory that another one left out.)
"""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from services.source import gitignore

SOURCE_IGNORE = ".sourceignore"

_VERSION_CONTROL = (".git/", ".gitignore", ".gitmodules", ".gitattributes")
# Only where nobody says anything else.
_DEFAULTS = (
    *("*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip"),
    *(".github/", ".circleci/", ".travis.yml", ".gitlab-ci.yml", "appveyor.yml", ".drone.yml"),
    *("cloudbuild.yaml", "codeship-services.yml", "codeship-steps.yml"),
    *("**/.goreleaser.yml", "**/.sops.yaml", "**/.flux.yaml"),
)


class _Group(NamedTuple):
    """Lines in a row with one verdict; `folder` is empty or ends with a slash."""

    folder: str
    expression: re.Pattern[str]
    excludes: bool


class IgnoreRules:
    def __init__(
        self, source_ignores: Mapping[str, str], spec_ignore: str | None, *, implied: bool = True
    ) -> None:
        """`source_ignores`: the text of each `.sourceignore` by its directory ("" is the root).

        `implied` False: nothing but what is said, as it is for buckets.
        """
        said = [
            (folder + "/" if folder else "", _lines(source_ignores[folder].split("\n")))
            for folder in sorted(source_ignores)
        ]
        said.append(("", _lines((spec_ignore or "").split("\n"))))
        if implied and not any(lines for _, lines in said):
            said = [("", _lines(_DEFAULTS))]
        layers = [("", _lines(_VERSION_CONTROL)), *said] if implied else said
        groups = [group for folder, lines in layers for group in _groups(folder, lines)]
        self._latest_first = groups[::-1]

    def exclude(self, path: str) -> bool:
        for folder, expression, excludes in self._latest_first:
            if path.startswith(folder) and expression.search(path[len(folder) :]):
                return excludes
        return False


def _lines(texts: Iterable[str]) -> list[gitignore.Line]:
    return [line for line in map(gitignore.parse, texts) if line]


def _groups(folder: str, lines: list[gitignore.Line]) -> Iterable[_Group]:
    for excludes, group in groupby(lines, key=lambda line: line.excludes):
        yield _Group(folder, gitignore.searched(list(group)), excludes)
