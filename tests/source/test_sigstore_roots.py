"""Where trust in keyless signatures begins: a Secret, or the public-good instance of Sigstore."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from services.source.verification.interface import VerificationFailed
from services.source.verification.public_good import EVERY, PublicGood, embedded
from services.source.verification.signature_verifier import SignatureVerifier, VerificationSecrets
from shared.resources.source.verification import ChartVerification
from tests.support.keyless_signatures import ARTIFACT, BY, SIGSTORE, refusal, signed

SECRET_PROBLEMS: dict[str, tuple[dict[str, bytes] | None, str]] = {
    "no Secret": (None, "Secret 'root' has no key trusted_root.json"),
    "no key": ({"root.json": b"{}"}, "Secret 'root' has no key trusted_root.json"),
    "no JSON": ({"trusted_root.json": b"{"}, "not a trusted root of Sigstore"),
    "no root": ({"trusted_root.json": b"{}"}, "not a trusted root of Sigstore"),
    "no log": (
        {
            "trusted_root.json": json.dumps(
                {**json.loads(SIGSTORE.trusted_root), "tlogs": []}
            ).encode()
        },
        "an incomplete trusted root",
    ),
}


@pytest.mark.parametrize("problem", SECRET_PROBLEMS)
async def test_a_trusted_root_that_is_none_is_named(problem: str) -> None:
    values, said = SECRET_PROBLEMS[problem]

    assert said in await refusal(signed("bundle"), secrets=VerificationSecrets(trusted_root=values))


class Repository:
    """Of trust; it counts how often it is asked."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer
        self.asked = 0

    def __call__(self) -> bytes:
        self.asked += 1
        if self.answer is None:
            raise OSError("no route to host")
        return self.answer


class Clock:
    time = datetime(2026, 6, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


async def test_charts_are_verified_against_the_public_good_instance() -> None:
    verifier = SignatureVerifier(PublicGood(Repository(SIGSTORE.trusted_root)))

    verified = await verifier.verify(
        ARTIFACT, signed("bundle"), ChartVerification(), VerificationSecrets()
    )

    assert verified == [BY]


async def test_what_came_with_the_library_counts_when_nothing_newer_can_be_had() -> None:
    repository, clock = Repository(), Clock()
    public_good = PublicGood(repository, clock)

    assert await public_good.trusted_root() == embedded("trusted_root.json")
    verifier = SignatureVerifier(public_good)
    with pytest.raises(VerificationFailed, match="it proves no identity"):
        await verifier.verify(
            ARTIFACT, signed("bundle"), ChartVerification(), VerificationSecrets()
        )
    assert repository.asked == 1

    repository.answer = SIGSTORE.trusted_root
    clock.time += timedelta(hours=1)
    assert await public_good.trusted_root() == SIGSTORE.trusted_root
    repository.answer = None
    clock.time += EVERY
    assert await public_good.trusted_root() == SIGSTORE.trusted_root
    assert repository.asked == 3


def test_nothing_large_is_loaded_before_the_first_keyless_signature() -> None:
    probe = (
        "import sys, services.source.verification.spec_verifier;"
        "print(*sorted({'sigstore', 'tuf', 'pydantic'} & sys.modules.keys()))"
    )

    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True)

    assert loaded.stdout.strip() == b""
