"""Git repositories and Helm repositories become artifacts."""
