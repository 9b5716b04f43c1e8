"""From `spec.ref` to the commit that it means now, and to the revision that names it.

The first of commit, name, tag, semver and branch that is given decides.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

from services.source.endings import FetchFailed, GitStalled
from services.source.git.advertisement import Ref
from services.source.git.refs import GitRefs, RefsError
from services.source.git.remote import Remote
from services.source.semver import InvalidVersion, Range, Version
from shared.resources.source.git_repository import GitReference

MOST_TIED = 10  # whose commits are compared
DEFAULT_BRANCH = "master"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_OLD_REVISION = re.compile(r"(?:(?P<label>[^:@]+)/)?(?P<commit>[0-9a-f]{40}|[0-9a-f]{64})")
_SERVED_NAMES = ("refs/heads/", "refs/tags/", "refs/pull/", "refs/merge-requests/")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """`fetched` is what the server is asked for; a `branch` must have the commit in its history."""

    fetched: str
    commit: str
    label: str  # what the revision calls it: a branch, a tag, a full name, or nothing
    branch: str | None = None
    object_id: str = ""  # what the reference leads to directly, where that may be a tag
    tied: tuple["Target", ...] = ()  # tags of the same version, this one among them

    @property
    def revision(self) -> str:
        return revision_of(self.label, self.commit)


def revision_of(label: str, commit: str) -> str:
    algorithm = "sha256" if len(commit) == 64 else "sha1"
    return f"{label}@{algorithm}:{commit}" if label else f"{algorithm}:{commit}"


def is_same_revision(known: str, wanted: str) -> bool:
    """`known` may be of the form that Flux wrote before: `main/<id>`, or `HEAD/<id>`."""
    old = _OLD_REVISION.fullmatch(known)
    if old:
        label = "" if old["label"] in (None, "HEAD") else old["label"]
        known = revision_of(label, old["commit"])
    return known == wanted


async def resolve(
    reference: GitReference | None, remote: Remote, refs: GitRefs, deadline: timedelta
) -> Target:
    """Asks the server, unless the commit is given."""
    wanted = reference or GitReference()
    if wanted.commit:
        return _pinned(wanted.commit, wanted.branch)
    if wanted.semver and not (wanted.name or wanted.tag):
        question = _Latest(wanted.semver, _range(wanted.semver))
        latest = await _asked(refs, remote, "refs/tags/", question, deadline)
        if latest is None:
            problem = f"no tag matches spec.ref.semver {wanted.semver!r}"
            raise FetchFailed(problem, reason="GitOperationFailed")
        return latest
    name, label = _full_name(wanted)
    ref = await _asked(refs, remote, name, _Named(name), deadline)
    if ref is None:
        raise await _not_found(name, refs, remote, deadline)
    return Target(name, ref.commit, label, object_id=ref.object_id)


def _pinned(commit: str, branch: str | None) -> Target:
    if not _COMMIT.fullmatch(commit):
        raise GitStalled(f"spec.ref.commit: {commit!r} is not a commit's full id in lower case")
    if branch is None:
        return Target(commit, commit, "")
    name = _valid(f"refs/heads/{branch}", "spec.ref.branch")
    return Target(name, commit, branch, branch)


def _full_name(wanted: GitReference) -> tuple[str, str]:
    if wanted.name:
        if not wanted.name.startswith(_SERVED_NAMES):
            raise GitStalled(
                f"spec.ref.name: {wanted.name!r} starts with none of {', '.join(_SERVED_NAMES)}"
            )
        return _valid(wanted.name, "spec.ref.name"), wanted.name
    if wanted.tag:
        return _valid(f"refs/tags/{wanted.tag}", "spec.ref.tag"), wanted.tag
    branch = wanted.branch or DEFAULT_BRANCH
    return _valid(f"refs/heads/{branch}", "spec.ref.branch"), branch


def _valid(name: str, field: str) -> str:
    """As `git check-ref-format` has it; raises GitStalled."""
    parts = name.split("/")
    wrong = (
        _FORBIDDEN.search(name)
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
        or name.endswith(".")
    )
    if wrong:
        raise GitStalled(f"{field}: {name!r} is not a valid name of a Git reference")
    return name


async def _asked(
    refs: GitRefs,
    remote: Remote,
    prefix: str,
    question: Callable[[list[Ref]], T],
    deadline: timedelta,
) -> T:
    try:
        return await refs.ask(remote, [prefix], question, deadline)
    except RefsError as error:
        reason = "AuthenticationFailed" if error.refuses_us else "GitOperationFailed"
        raise FetchFailed(f"failed to list remote references: {error}", reason=reason) from error


async def _not_found(name: str, refs: GitRefs, remote: Remote, deadline: timedelta) -> FetchFailed:
    if await _asked(refs, remote, "refs/", bool, deadline):
        return FetchFailed(
            f"reference {name!r} not found in {remote.url}; create it or change spec.ref",
            reason="GitOperationFailed",
        )
    return FetchFailed(f"git repository {remote.url} is empty", reason="EmptyGitRepository")


def _range(text: str) -> Range:
    try:
        return Range.parse(text)
    except InvalidVersion as error:
        raise GitStalled(f"spec.ref.semver: {error}") from error


@dataclass(frozen=True)
class _Named:
    """The reference of this name."""

    name: str

    def __call__(self, refs: list[Ref]) -> Ref | None:
        return next((ref for ref in refs if ref.name == self.name), None)


@dataclass(frozen=True)
class _Latest:
    """The tag of the highest version in this range."""

    text: str
    accepted: Range = field(compare=False, repr=False)

    def __call__(self, tags: list[Ref]) -> Target | None:
        return _latest(self.accepted, tags)


def _latest(accepted: Range, tags: list[Ref]) -> Target | None:
    candidates = []
    for tag in tags:
        label = tag.name.removeprefix("refs/tags/")
        try:
            version = Version.parse_strictly(label)
        except InvalidVersion:
            continue
        if accepted.accepts(version):
            candidates.append((version, label, tag))
    if not candidates:
        return None
    highest = max(version for version, _, _ in candidates)
    # Versions that differ in build metadata alone are equal.
    equal = sorted(candidate[1:] for candidate in candidates if candidate[0] == highest)
    tied = tuple(
        Target(tag.name, tag.commit, label, object_id=tag.object_id)
        for label, tag in equal[-MOST_TIED:]
    )
    return tied[0] if len(tied) == 1 else replace(tied[-1], tied=tied)
