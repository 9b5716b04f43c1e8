"""What desired state is written in: Git, OCI, Helm and bucket sources become artifacts.

A folder a family of sources, wired in its `wiring.py`; what they share lies beside them. Start
reading at `git/git_repository.py`.
"""
