"""What stays out of a chart, with the stock helm as the judge."""

import subprocess
from pathlib import Path

import pytest

from penstock.toolchain import binary
from services.source.helm.chart_files import Chart, ChartError
from shared.archive import Entry, unpack

TREE = {
    "Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
    "values.yaml": "",
    "templates/a.yaml": "",
    "templates/.hidden": "",
    "templates/sub/b.yaml": "",
    "templates/sub/b.yaml.bak": "",
    "docs/a.md": "",
    "docs/deep/a.md": "",
    "docs/deep/keep.txt": "",
    "ci/values.yaml": "",
    "nested/ci/values.yaml": "",
    "README.md": "",
}


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "# nothing\n\n",
        "*.md",
        "/*.md",
        "docs/",
        "docs",
        "/docs",
        "docs/*.md",
        "docs/deep/",
        "docs\x0cREADME.md",
        "ci/",
        "/ci",
        "*.bak\n  ci  ",
        "deep",
        "docs/*/a.md",
        "*/a.md",
        "[Rd]*",
        "a.??",
        "!Chart.yaml\n",
        "!*.yaml",
        "values.yaml",
    ],
)
def test_helm_would_leave_out_the_same_files(tmp_path: Path, lines: str) -> None:
    files = TREE | {".helmignore": lines}
    for name, content in files.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    packaged = subprocess.run(
        [binary("helm"), "package", tmp_path / "shop", "-d", tmp_path],
        capture_output=True,
        check=False,
    )

    entries = [Entry(name, 0o600, content.encode()) for name, content in files.items()]
    try:
        kept = set(Chart.from_directory(entries, "").files)
    except ChartError:
        kept = set()

    assert kept == _packaged_files(tmp_path), packaged.stderr.decode()


def _packaged_files(folder: Path) -> set[str]:
    archive = folder / "shop-1.0.0.tgz"
    if not archive.exists():
        return set()
    return {entry.path.removeprefix("shop/") for entry in unpack(archive.read_bytes())}
