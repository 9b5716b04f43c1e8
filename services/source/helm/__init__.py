"""HelmRepository and HelmChart: indexes and charts become artifacts. Start at `helm_chart`."""
