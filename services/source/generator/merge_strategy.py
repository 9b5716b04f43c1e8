"""Strategy Merge: YAML over YAML as Helm merges values; mappings are merged, the rest replaced."""

from services.source.generator.copy_operation import CopyError
from services.source.helm.chart_files import merged
from shared.documents import DocumentError, dump, load_all


def is_yaml(path: str) -> bool:
    return path.endswith((".yaml", ".yml"))


def merged_files(base: bytes, over: bytes, path: str) -> bytes:
    try:
        return dump(merged(_mapping(base), _mapping(over))).encode()
    except DocumentError as error:
        raise CopyError("strategy", f"{path!r} cannot be merged: {error}") from error


def _mapping(content: bytes) -> dict[str, object]:
    documents = [document for document in load_all(content) if document is not None]
    if len(documents) > 1 or not all(isinstance(each, dict) for each in documents):
        raise DocumentError("it is not one mapping")
    return documents[0] if documents else {}
