import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from services.source.bucket.listing import Index, SourceIgnore, index_of
from services.source.bucket.objects import (
    Bounded,
    ObjectChanged,
    Page,
    StoredObject,
    StoreError,
)
from shared.archive import Limits


@dataclass
class MemoryStore:
    """Pages of two objects; `then` happens after a listing."""

    objects: dict[str, str]
    prefix: str = ""
    asked: list[str] = field(default_factory=list)
    then: list[Mapping[str, str]] = field(default_factory=list)

    def page(self, token: str) -> Page:
        self.asked.append("page")
        found = [_stored(k, v) for k, v in self.objects.items() if k.startswith(self.prefix)]
        start = int(token or "0")
        if start + 2 < len(found):
            return Page(found[start : start + 2], str(start + 2))
        if self.then:
            self.objects |= self.then.pop(0)
        return Page(found[start:])

    def read(self, found: StoredObject, into: Bounded) -> None:
        raise AssertionError("a listing reads no object")

    def read_latest(self, key: str, into: Bounded) -> str | None:
        self.asked.append(key)
        content = self.objects.get(key)
        if content is None:
            return None
        into.write(content.encode())
        return _etag(content)


def _stored(key: str, content: str) -> StoredObject:
    return StoredObject(key, _etag(content), len(content))


def _etag(content: str) -> str:
    return f"etag of {content[:9]}"


def listed(
    store: MemoryStore, ignore: str | None = None, known: SourceIgnore | None = None
) -> Index:
    limits = Limits(total=1000, file=500, entries=6)
    return index_of(store, store.prefix, ignore, known, limits)


def keys(index: Index) -> list[str]:
    return [found.key for found in index.objects]


def test_the_revision_is_a_digest_of_sorted_keys_and_etags() -> None:
    index = listed(MemoryStore({"b": "2", "a/c": "1", "folder/": "", "Z": "3"}))

    text = "Z etag of 3\na/c etag of 1\nb etag of 2\n"
    assert index.revision == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert keys(index) == ["Z", "a/c", "b"]


def test_neither_version_control_nor_pictures_are_left_out_by_themselves() -> None:
    objects = {".git/config": "", "a.png": "", ".github/x": "", "sub/.sourceignore": "a.png"}

    assert keys(listed(MemoryStore(objects))) == sorted(objects)


def test_the_rules_of_the_spec_come_after_those_of_the_bucket() -> None:
    store = MemoryStore({".sourceignore": "*.md\n*.txt", "a.md": "", "b.txt": "", "c": ""})

    assert keys(listed(store, "!a.md\nc")) == ["a.md"]


def test_known_rules_are_not_read_again() -> None:
    store = MemoryStore({".sourceignore": "b", "a": "", "b": ""})
    first = listed(store)
    store.asked.clear()

    again = listed(store, known=first.ignore)

    assert again == first
    assert set(store.asked) == {"page"}


def test_rules_that_a_prefix_hides_are_read_each_time() -> None:
    store = MemoryStore({".sourceignore": "*/b", "x/a": "", "x/b": ""}, prefix="x/")

    first = listed(store)
    store.objects[".sourceignore"] = "*/a"

    assert keys(first) == ["x/a"]
    assert keys(listed(store, known=first.ignore)) == ["x/b"]


def test_rules_that_change_during_a_listing_are_those_of_the_next() -> None:
    store = MemoryStore({"a": "", "b": ""}, then=[{".sourceignore": "b"}])
    first = listed(store)

    second = listed(store, known=first.ignore)

    assert keys(first) == ["a", "b"]
    assert keys(second) == ["a"]


class Restless(MemoryStore):
    def read_latest(self, key: str, into: Bounded) -> str | None:
        etag = super().read_latest(key, into)
        self.objects[key] = f"{len(self.asked)}"
        return etag


def test_rules_that_never_rest_are_told() -> None:
    with pytest.raises(ObjectChanged, match=r"'\.sourceignore' changed while"):
        listed(Restless({".sourceignore": "x", "a": ""}))


HOSTILE = (
    *("../../escape", "a/../../b", "a/./b", "/etc/passwd", "a//b", ".", "..", "a/.."),
    *("new\nline", "nul\0", "bell\x07", "c1\x85", "\ud800", "a" * 300, "a/" * 150 + "b"),
)


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_that_is_no_path_is_refused(key: str) -> None:
    with pytest.raises(StoreError, match=r"cannot be the path of a file; .*spec\.ignore"):
        listed(MemoryStore({"fine": "", key: "x"}))


@pytest.mark.parametrize("key", ["../../escape", "new\nline"])
def test_a_key_that_is_no_path_may_be_left_out(key: str) -> None:
    assert keys(listed(MemoryStore({"fine": "", key: "x"}), "*\n!fine")) == ["fine"]


def test_a_key_that_is_file_and_folder_is_refused() -> None:
    with pytest.raises(StoreError, match="'a' would be a file and the folder of 'a/b/c'"):
        listed(MemoryStore({"a-b": "", "a": "", "a/b/c": ""}))


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ({"big": "x" * 501}, "'big' has 501 bytes"),
        ({str(n): "x" * 400 for n in range(3)}, "too large together"),
        ({str(n): "" for n in range(7)}, "too many objects"),
    ],
)
def test_a_bucket_beyond_the_limits_is_refused_while_it_is_listed(
    objects: dict[str, str], said: str
) -> None:
    with pytest.raises(StoreError, match=said):
        listed(MemoryStore(objects))


def test_what_is_left_out_does_not_count() -> None:
    objects = {"a": "", "logs/big": "x" * 2000, **{f"logs/{n}": "" for n in range(20)}}

    assert keys(listed(MemoryStore(objects), "logs/")) == ["a"]


def test_rules_of_any_length_are_not_read() -> None:
    with pytest.raises(StoreError, match=r"'\.sourceignore' is larger than"):
        listed(MemoryStore({".sourceignore": "x" * (1024 * 1024 + 1)}))
