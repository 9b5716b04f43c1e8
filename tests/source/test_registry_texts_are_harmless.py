"""Whatever a registry or a Secret says, it is read or refused: nothing else happens."""

import json
from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from services.source.oci.address import Access, InvalidAddress, Repository
from services.source.oci.authorization import Refused, challenge_of
from services.source.oci.docker_config import registry_login
from services.source.oci.manifest import MAX_DESCRIPTORS, OCI_INDEX, OCI_MANIFEST, InvalidManifest
from services.source.oci.manifest import parsed as parsed_manifest
from shared.credentials import InvalidCredentials
from tests.support.registry import digest_of

APP = Repository.parse("oci://registry.example/team/app", Access(insecure=True))
NAMES = ["schemaVersion", "mediaType", "layers", "manifests", "config", "digest", "size", "auths"]
SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([2, OCI_MANIFEST])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=6)
    ),
    max_leaves=12,
)
DOCUMENTS = st.binary() | VALUES.map(lambda value: json.dumps(value).encode())


@given(DOCUMENTS, st.sampled_from([OCI_MANIFEST, OCI_INDEX]) | st.text())
def test_a_manifest_is_read_or_refused(raw: bytes, media_type: str) -> None:
    with suppress(InvalidManifest):
        manifest = parsed_manifest(raw, media_type, digest_of(raw))
        assert not (manifest.layers and manifest.manifests)
        assert len(manifest.layers) <= MAX_DESCRIPTORS


CHALLENGES = st.text() | st.text().map(lambda text: f"Bearer realm={text}")


@given(CHALLENGES | st.text(alphabet='Bearer realm="htps:/.@[]127', max_size=60))
@example('Bearer realm="http://registry.example:99999/token"')
@example("Bearer " + ",=" * 2000)
@example('Bearer realm="https://registry.example/token' + '\\"' * 2000)
def test_a_challenge_names_a_realm_that_may_have_the_login_or_none(text: str) -> None:
    with suppress(Refused):
        challenge = challenge_of({"WWW-Authenticate": text}, APP)
        if challenge and challenge.realm:
            assert challenge.realm.lower().startswith(("https://", "http://registry.example"))


@given(st.text() | st.text().map(lambda text: f"oci://{text}"))
def test_an_address_is_read_or_refused(text: str) -> None:
    with suppress(InvalidAddress):
        repository = Repository.parse(text)
        assert set(repository.path) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-/")


@given(DOCUMENTS)
def test_a_login_is_read_or_refused(raw: bytes) -> None:
    for key in (".dockerconfigjson", ".dockercfg"):
        with suppress(InvalidCredentials):
            registry_login({key: raw}, APP)
