"""`.helmignore`: what Helm leaves out of a chart that it packages.

Its lines look like gitignore's and are simpler. Without a slash they are compared with the name,
else with the whole path; a `!` line leaves out everything that does not match it; the first line
that speaks decides, and a directory takes its contents along. Hidden templates always stay out.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from services.source import gitignore

HELM_IGNORE = ".helmignore"
_ALWAYS = "templates/.?*"


class _Line(NamedTuple):
    expression: re.Pattern[str]
    whole_path: bool
    only_directories: bool
    negated: bool


class HelmIgnore:
    def __init__(self, text: str) -> None:
        self._lines = [*_lines(text), *_lines(_ALWAYS)]
        self._folders: dict[str, bool] = {"": False}

    def exclude(self, path: str) -> bool:
        """For a file, by its path in the chart."""
        folder = path.rpartition("/")[0]
        return self._excludes_folder(folder) or self._speaks(path, is_directory=False)

    def _excludes_folder(self, path: str) -> bool:
        if path not in self._folders:
            parent = path.rpartition("/")[0]
            self._folders[path] = self._excludes_folder(parent) or self._speaks(
                path, is_directory=True
            )
        return self._folders[path]

    def _speaks(self, path: str, *, is_directory: bool) -> bool:
        for line in self._lines:
            subject = path if line.whole_path else path.rpartition("/")[2]
            applies = is_directory or not line.only_directories
            matches = applies and line.expression.fullmatch(subject) is not None
            if matches is not line.negated:
                return True
        return False


def _lines(text: str) -> Iterator[_Line]:
    for written in text.split("\n"):
        line = written.strip()
        if not line or line.startswith("#"):
            continue
        negated = line.startswith("!")
        pattern = line.removeprefix("!")
        only_directories = pattern.endswith("/")
        body = pattern.rstrip("/")
        try:
            parts = [gitignore.segment(part) for part in body.removeprefix("/").split("/")]
        except gitignore.NotAPattern:
            continue
        yield _Line(re.compile("/".join(parts)), "/" in body, only_directories, negated)
