"""The group helm.toolkit.fluxcd.io: a chart and values become a release."""

from shared.resources.helm.release import HelmRelease

__all__ = ["HelmRelease"]
