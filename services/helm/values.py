"""How values from several places become one set of values.

References are merged in their order, inline values last. A reference with a `targetPath` sets one
path in what references and inline values give so far. Its effect on a map that only the inline
values have outlasts the last merge (it is the same map); a scalar that inline values set at the
top wins it back. Flux behaves so, and releases that move over must not see other values.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from services.helm.target_path import set_path

Values: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class ValuesFile:
    """A whole file of values."""

    values: Values


@dataclass(frozen=True)
class ValueAtPath:
    """One value for one path, in the syntax of `helm --set` unless `literal`."""

    path: str
    text: str
    literal: bool = False


def compose(references: Iterable[ValuesFile | ValueAtPath], inline: Mapping[str, Any]) -> Values:
    """Raises TargetPathError for a path or value that cannot be set."""
    own = copy.deepcopy(dict(inline))  # set_path writes into it
    result: Values = {}
    for reference in references:
        match reference:
            case ValuesFile(values=values):
                result = merged(result, values)
            case ValueAtPath(path=path, text=text, literal=literal):
                result = merged(result, own)
                set_path(result, path, text, literal=literal)
    return merged(result, own)


def merged(under: Values, over: Values) -> Values:
    """Maps merge key by key, everything else is replaced.

    null is a value: it wins here, and deletes the chart's own default when Helm renders.
    """
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result
