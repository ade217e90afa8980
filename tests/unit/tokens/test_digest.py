"""Keyed digests against published vectors, and what an unknown or retired pepper proves: nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from hatchpay.tokens.digest import Peppers

OLD, NEW = b"\x01" * 32, b"\x02" * 32


def hmac_sha256_by_the_definition(key: bytes, message: bytes) -> bytes:
    """RFC 2104 with B = 64, for keys that are no longer than that."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


@pytest.mark.parametrize(
    ("pepper", "secret", "digest"),
    [
        # RFC 4231, test cases 1, 2, 6 and 7.
        (b"\x0b" * 20, "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe",
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            b"\xaa" * 131,
            "This is a test using a larger than block-size key and a larger than block-size data. "
            "The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ],
)
def test_the_digest_is_hmac_sha_256_of_rfc_4231(pepper: bytes, secret: str, digest: str) -> None:
    peppers = Peppers(1, {1: pepper})
    assert peppers.digest(secret).hex() == digest
    assert peppers.verify(secret, bytes.fromhex(digest), 1)


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32), st.text(max_size=80))
def test_the_digest_is_hmac_sha_256_under_any_pepper(pepper: bytes, secret: str) -> None:
    assert Peppers(7, {7: pepper}).digest(secret) == hmac_sha256_by_the_definition(pepper, secret.encode())


def test_new_digests_are_made_under_the_current_pepper_and_older_ones_go_on_verifying() -> None:
    before, after = Peppers(1, {1: OLD}), Peppers(2, {1: OLD, 2: NEW})
    assert after.digest("secret") == hmac_sha256_by_the_definition(NEW, b"secret")
    assert after.verify("secret", before.digest("secret"), 1)
    assert after.verify("secret", after.digest("secret"), 2)


def test_a_digest_proves_nothing_under_another_version_or_for_another_secret() -> None:
    peppers = Peppers(2, {1: OLD, 2: NEW})
    digest = peppers.digest("secret")
    assert not peppers.verify("secret", digest, 1)
    assert not peppers.verify("Secret", digest, 2)
    assert not peppers.verify("secret", digest[:-1], 2)
    assert not peppers.verify("secret", b"", 2)


def test_under_a_retired_pepper_nothing_verifies_not_even_what_its_absence_would_give() -> None:
    retired = Peppers(2, {2: NEW})
    assert not retired.verify("secret", Peppers(1, {1: OLD}).digest("secret"), 1)
    assert not retired.verify("secret", hmac_sha256_by_the_definition(bytes(32), b"secret"), 1)
    assert not retired.verify("secret", hmac_sha256_by_the_definition(b"", b"secret"), 1)


@pytest.mark.parametrize("show", [repr, str, format, pretty_repr])
def test_no_text_of_the_peppers_shows_one(show: Callable[[object], str]) -> None:
    shown = show(Peppers(2, {1: b"abcdefgh" * 4, 2: b"ijklmnop" * 4}))
    assert "abcdefgh" not in shown
    assert "ijklmnop" not in shown
    assert "[1, 2]" in shown
