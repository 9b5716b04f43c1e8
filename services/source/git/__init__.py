"""GitRepository: a revision of a Git repository becomes an artifact. Start at `git_repository`."""
