"""ArtifactGenerator: parts of several sources' artifacts become ExternalArtifacts."""
