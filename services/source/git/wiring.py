"""The controller of GitRepositories."""

from services.source.git.archive import GitArchive
from services.source.git.assembly import GitTools
from services.source.git.git_repository import GitRepositoryReconciler
from services.source.git.github_app import GitHubApps
from services.source.git.includes import GitIncludes, includers_of
from services.source.git.mirror import Mirrors
from services.source.git.refs import GitRefs
from services.source.git.refusals import Refusals
from services.source.git.remotes import GitRemotes
from services.source.git.runner import GitRunner
from services.source.git.upstream import GitUpstreams
from services.source.git.verification import GitVerifier
from services.source.means import Caches, Doors, Means, controller_of
from shared.controller import Controller
from shared.resources.source import GitRepository


def mirrors_of(means: Means) -> Mirrors:
    git = GitRunner(means.state / "home", means.git)
    return Mirrors(means.state / "mirrors", git, ssh=means.ssh, reach=means.reach)


def git_controller(
    means: Means, caches: Caches, doors: Doors, mirrors: Mirrors
) -> Controller[GitRepository]:
    apps = GitHubApps(means.web)
    remotes = GitRemotes(doors.secrets, apps, doors.clouds)
    tools = GitTools(
        GitUpstreams(remotes, GitRefs(means.web, means.ssh, means.reach)),
        mirrors,
        GitArchive(mirrors.git, means.artifact, means.largest_tree),
        GitIncludes(caches.git, means.storage),
        GitVerifier(doors.secrets),
        Refusals(caches.git),
    )
    reconciler = GitRepositoryReconciler(means.storage, tools)
    controller = controller_of(means, caches.git, GitRepository, reconciler)
    controller.also_when(caches.git, includers_of(caches.git))
    return controller
