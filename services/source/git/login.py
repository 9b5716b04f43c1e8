"""What the git program must know about one server, for one command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from services.source.git.refs import Remote
from shared.credentials import Tls


@contextmanager
def configuration_for(remote: Remote) -> Iterator[dict[str, str]]:
    """Git's settings; certificates are files, readable by us alone and gone with the context."""
    credentials = remote.credentials
    configuration = {}
    if credentials.authorization:
        header = f"Authorization: {credentials.authorization}"
        configuration[f"http.{remote.url}.extraHeader"] = header
    with TemporaryDirectory(prefix="penstock-tls-") as folder:
        if credentials.tls:
            configuration |= _certificates(credentials.tls, Path(folder))
        yield configuration


def _certificates(tls: Tls, folder: Path) -> dict[str, str]:
    texts = {
        "http.sslCAInfo": tls.authority,
        "http.sslCert": tls.certificate,
        "http.sslKey": tls.key,
    }
    configuration = {}
    for setting, text in texts.items():
        if text:
            path = folder / setting
            path.write_text(text)
            configuration[setting] = str(path)
    return configuration
