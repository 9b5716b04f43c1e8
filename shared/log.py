"""Logs as one JSON object a line, with the fields that `flux logs` reads.

Call sites pass what belongs to the line in `extra`: `object` (a NamespacedName) becomes `name` and
`namespace`, everything else is a field of its own. Every line passes the redactor.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from shared.clock import rfc3339_micro
from shared.redaction import redact

_LEVELS = {"WARNING": "warn", "CRITICAL": "error"}
_OURS_ALREADY = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "object"}


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "level": _LEVELS.get(record.levelname, record.levelname.lower()),
            "ts": rfc3339_micro(datetime.fromtimestamp(record.created, UTC)),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line |= {k: v for k, v in record.__dict__.items() if k not in _OURS_ALREADY}
        where = record.__dict__.get("object")
        if where is not None:
            line |= {"name": where.name, "namespace": where.namespace}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return redact(orjson.dumps(line, default=str).decode())


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send everything that is logged to stderr as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
