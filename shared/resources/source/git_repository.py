"""GitRepository: a revision of a Git repository becomes an artifact."""

from shared.resources.meta import Artifact, LocalObjectReference, Model, Resource
from shared.resources.source.fetched import API_VERSION, FetchedStatus


class GitReference(Model, frozen=True, kw_only=True):
    """What to check out; the first of commit, name, tag, semver, branch that is given wins."""

    branch: str | None = None
    tag: str | None = None
    semver: str | None = None
    name: str | None = None
    commit: str | None = None


class GitVerification(Model, frozen=True, kw_only=True):
    mode: str = "HEAD"
    secret_ref: LocalObjectReference


class GitInclude(Model, frozen=True, kw_only=True):
    """Another repository's artifact, copied into this one's."""

    repository: LocalObjectReference
    from_path: str | None = None
    to_path: str | None = None


class GitRepositorySpec(Model, frozen=True, kw_only=True):
    url: str
    interval: str
    timeout: str = "60s"
    ref: GitReference | None = None
    secret_ref: LocalObjectReference | None = None
    provider: str | None = None
    service_account_name: str | None = None
    proxy_secret_ref: LocalObjectReference | None = None
    verify: GitVerification | None = None
    ignore: str | None = None
    include: tuple[GitInclude, ...] = ()
    recurse_submodules: bool = False
    sparse_checkout: tuple[str, ...] = ()
    suspend: bool = False


class GitRepositoryStatus(FetchedStatus, frozen=True, kw_only=True):
    included_artifacts: tuple[Artifact, ...] = ()
    observed_ignore: str | None = None
    observed_include: tuple[GitInclude, ...] = ()
    observed_recurse_submodules: bool = False
    observed_sparse_checkout: tuple[str, ...] = ()
    source_verification_mode: str | None = None


class GitRepository(Resource[GitRepositorySpec, GitRepositoryStatus], frozen=True, kw_only=True):
    api_version = API_VERSION
    kind = "GitRepository"
    plural = "gitrepositories"

    status: GitRepositoryStatus = GitRepositoryStatus(observed_generation=-1)
