"""`artifacts` and `pathPattern`: which ExternalArtifacts there are to be, and of what.

Without a pattern each artifact of the spec is one. With it each is one for every directory that the
pattern matches: what the captures found there goes into names and paths, and is told as labels, in
lower case as names have to be.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.source.generator.copy_operation import Copy
from services.source.generator.endings import BuildFailed, ValidationFailed
from services.source.generator.path_glob import LONGEST_TOGETHER, Pattern
from services.source.generator.path_text import PathError, Reference, filled
from services.source.generator.tree import Tree
from shared.resources.source import ArtifactGenerator
from shared.resources.source.artifact_generator import OutputArtifact

MOST_OUTPUTS = 1000
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"([a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?)?")


@dataclass(frozen=True)
class Output:
    """One ExternalArtifact to be; `place` says where in the spec it comes from."""

    name: str
    place: str
    wanted: OutputArtifact
    captures: Mapping[str, str]

    @property
    def labels(self) -> dict[str, str]:
        return {name.lower(): value.lower() for name, value in self.captures.items()}

    def copies(self) -> Iterator[tuple[str, Copy]]:
        for number, operation in enumerate(self.wanted.copy_):
            place = f"{self.place}.copy[{number}]"
            try:
                yield place, Copy(operation, self.captures)
            except PathError as error:
                raise ValidationFailed(f"{place}: {error}") from error


def require_valid(generator: ArtifactGenerator) -> frozenset[str]:
    """All that can be said before any source is read; the aliases of those that will be.

    Raises ValidationFailed. What somebody wrote to do harm takes seconds: not for the event loop.
    """
    spec = generator.spec
    aliases = [source.alias for source in spec.sources]
    for alias in aliases:
        if aliases.count(alias) > 1:
            raise ValidationFailed(f"spec.sources: the alias {alias!r} is given twice")
    pattern = _pattern(generator)
    used = {} if pattern is None else {"spec.pathPattern": pattern[0]}
    captures = {} if pattern is None else dict.fromkeys(pattern[1].names, "x")
    outputs, weight = list(_outputs(generator, captures)), 0
    if pattern is None:
        _require_distinct(outputs)
    for output in outputs:
        for place, copy in output.copies():
            used[f"{place}.from"] = copy.alias
            weight += copy.weight
            if weight > LONGEST_TOGETHER:
                raise ValidationFailed(f"{place}: the globs up to here are too long together")
        _require_aliases(_lenders(output), aliases)
    _require_aliases(used, aliases)
    return frozenset(used.values())


def outputs_of(generator: ArtifactGenerator, trees: Mapping[str, Tree]) -> list[Output]:
    """`trees` by alias; of that of the path pattern all directories are looked at."""
    pattern = _pattern(generator)
    if pattern is None:
        outputs = list(_outputs(generator, {}))
    else:
        outputs = []
        for directory in trees[pattern[0]].directories:
            captures = pattern[1].captures(directory)
            if captures is not None:
                outputs += _of_directory(generator, directory, captures)
            if len(outputs) > MOST_OUTPUTS:
                raise BuildFailed(
                    f"spec.pathPattern: matches make more than {MOST_OUTPUTS} artifacts; "
                    "make it match fewer directories"
                )
    _require_distinct(outputs)
    if not outputs:
        raise BuildFailed(f"spec.pathPattern: {generator.spec.path_pattern!r} matches no directory")
    return outputs


def is_name(text: str) -> bool:
    """Whether an object, and a folder, can be called so."""
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


def _pattern(generator: ArtifactGenerator) -> tuple[str, Pattern] | None:
    text = generator.spec.path_pattern
    if not text:
        return None
    try:
        alias, path = Reference.parse(text)
        return alias, Pattern.parse(path)
    except PathError as error:
        raise ValidationFailed(f"spec.pathPattern: {error}") from error


def _of_directory(
    generator: ArtifactGenerator, directory: str, captures: Mapping[str, str]
) -> Iterator[Output]:
    where = f"spec.pathPattern: directory {directory!r}"
    for name, value in captures.items():
        if not _LABEL.fullmatch(value.lower()):
            raise BuildFailed(f"{where}: {{{name}}} is {value!r}, which cannot be a label's value")
    for output in _outputs(generator, captures):
        if not is_name(output.name):
            raise BuildFailed(f"{where}: {output.name!r} cannot be the name of an ExternalArtifact")
        yield output


def _outputs(generator: ArtifactGenerator, captures: Mapping[str, str]) -> Iterator[Output]:
    lowered = {name: value.lower() for name, value in captures.items()}
    for number, artifact in enumerate(generator.spec.artifacts):
        place = f"spec.artifacts[{number}]"
        try:
            yield Output(filled(artifact.name, lowered), place, artifact, captures)
        except PathError as error:
            raise ValidationFailed(f"{place}.name: {error}") from error


def _lenders(output: Output) -> dict[str, str]:
    """The aliases of the sources whose revisions are passed on."""
    lent = {
        f"{output.place}.revision": output.wanted.revision,
        f"{output.place}.originRevision": output.wanted.origin_revision,
    }
    return {place: alias.removeprefix("@") for place, alias in lent.items() if alias}


def _require_aliases(used: Mapping[str, str], aliases: Iterable[str]) -> None:
    for place, alias in used.items():
        if alias not in aliases:
            raise ValidationFailed(f"{place}: @{alias} is not an alias of spec.sources")


def _require_distinct(outputs: list[Output]) -> None:
    seen: set[str] = set()
    for output in outputs:
        if output.name in seen:
            raise ValidationFailed(
                f"{output.place}.name: {output.name!r} comes twice; each artifact needs its own"
            )
        seen.add(output.name)
