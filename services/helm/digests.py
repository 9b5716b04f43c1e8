"""Digests that Flux and Penstock must agree on, as the engine computes them."""

import hashlib
import json
from collections import OrderedDict
from typing import Any

import orjson

from services.helm.release_secret import ReleaseJson
from services.helm.snapshot import Digests
from services.helm.values import Values
from shared.engine import Engine
from shared.engine_messages import EngineError
from shared.outcomes import Failed
from shared.resources.transforms import CommonMetadata

# One entry is a hundred bytes; there is no need to ask the engine of each release at each interval.
KEPT = 10_000
_ESCAPED = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


class ReleaseDigests:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._of_values: OrderedDict[bytes, str] = OrderedDict()

    async def of_release(self, body: ReleaseJson) -> Digests:
        """Raises Failed for one that is not Helm's."""
        try:
            answer = await self._engine.snapshot(body)
        except EngineError as error:
            raise Failed(f"release {body['name']}.v{body['version']}: {error}") from error
        return Digests(answer.digest, answer.config_digest)

    async def of_values(self, values: Values) -> str:
        key = hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).digest()
        if key not in self._of_values:
            self._of_values[key] = await self._config_digest(values)
        self._of_values.move_to_end(key)
        while len(self._of_values) > KEPT:
            self._of_values.popitem(last=False)
        return self._of_values[key]

    async def _config_digest(self, values: Values) -> str:
        try:
            return await self._engine.config_digest(values)
        except EngineError as error:
            raise Failed(f"values: {error}", reason="ValuesError") from error


def of_common_metadata(metadata: CommonMetadata | None) -> str | None:
    """Of Go's JSON of the spec's value, and a line end; None when there is nothing to digest."""
    if metadata is None:
        return None
    given: dict[str, Any] = {
        name: dict(sorted(value.items()))
        for name, value in (("annotations", metadata.annotations), ("labels", metadata.labels))
        if value
    }
    text = json.dumps(given, separators=(",", ":"), ensure_ascii=False)
    for character, escape in _ESCAPED.items():
        text = text.replace(character, escape)
    return f"sha256:{hashlib.sha256((text + chr(10)).encode()).hexdigest()}"
