"""Who may speak to a local API server without being a ServiceAccount: a token file and kubeconfigs.

Tokens are made once per folder, so a kubeconfig stays good over restarts.
"""

import csv
import io
import secrets
from pathlib import Path
from typing import Any

from penstock.local.kubeconfig import write_kubeconfig
from penstock.local.private_files import write_private

# By name: user and group.
IDENTITIES = {
    "admin": ("penstock:admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kwok": ("penstock:kwok", "system:masters"),
}


class Identities:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.token_file = folder / "tokens.csv"

    def kubeconfig(self, name: str) -> Path:
        return self._folder / f"{name}.kubeconfig"

    def write(self, cluster: dict[str, Any]) -> dict[str, str]:
        """Writes the files; answers the tokens by name."""
        kept = self._kept()
        tokens = {
            name: kept.get(user) or secrets.token_urlsafe(32)
            for name, (user, _) in IDENTITIES.items()
        }
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        for name, (user, group) in IDENTITIES.items():
            rows.writerow((tokens[name], user, user, group))
            write_kubeconfig(self.kubeconfig(name), cluster, {"token": tokens[name]})
        write_private(self.token_file, table.getvalue())
        return tokens

    def _kept(self) -> dict[str, str]:
        if not self.token_file.exists():
            return {}
        with self.token_file.open(newline="") as file:
            return {row[1]: row[0] for row in csv.reader(file)}
