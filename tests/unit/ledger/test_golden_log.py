"""The golden log of transparency-dev/tessera (testdata/log), built again: the same bytes.

Its key, its leaves and the digests of its files are public facts. An entry is the text of a number, spelled as there.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hatchpay.ledger import base64
from hatchpay.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from hatchpay.ledger.merkle import leaf_hash
from hatchpay.ledger.note import Signer, VerifierKey
from hatchpay.ledger.tiles import Edge, entry_bundles

ORIGIN = "example.com/log/testdata"
VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
SEED = "AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
ENTRIES = b"one two three four five six seven eit nain ten ileven twelf threeten fourten fivten".split()
CHECKPOINT_15 = """example.com/log/testdata
15
rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=

— example.com/log/testdata M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=
"""
CHECKPOINTS = {
    0: "2a88b2fa27d24b7e57d5dcf73ddcad2075198f97879b45eab3aa8520b89944a9",
    1: "50026db3bdb6b509d7ce2915bc05f3908857acd48621f0a7cac3f65eb117ed9b",
    2: "4f2622ccd83c224e6d6d5ee2f99319e4224d7f5de3078bf10fdea9c77864833d",
    3: "88996b7cfd57cebe7c9c34ce35b7d5bd6b7af0d76f7febe687216ab15644d32c",
    8: "abdebb1c8e1c562d5902f106e741e80e430af4bb7fdaf120d9fe4a3419d6adb8",
    15: "aebf6c3251e27b6a4e265cbbcb3036887ba860071e1df9669cd36179ac82eaed",
}
TILES = {
    1: "ccfdec58d220e811be8903398a8867fde33e93bba97faecad3315bd7c753bd2f",
    2: "59e16c84b7f06104607760ad7916b9535d578914c7f29ae5f51ad990e6a66113",
    8: "92b3acf68d583ef1bfb61cf39bf9e89ff3cbe3e19f39fc698f50c91ab6360e59",
    15: "93593af14d2cce39867d2e73fe4ca400a38581605c5c4501a03e752d9b51a130",
}
BUNDLES = {
    1: "217eb5c174b50240976ae2b9b7a2a213c8ebe7f525fde0f0ea7561adcb4794e1",
    2: "8d26204429edb13ff9b074af489a8e984bdccb3e0ea2ee1d531d5f19195b7d24",
    8: "a4413f345504eb3637bcab7f9f188baaf7efe71fcd9d05cbf1cb9f850bd23aeb",
    15: "9ac6a9fc9012f2b4d67ac26041933c119e1505defc5c808ed614c5778c9f1716",
}


@pytest.fixture(scope="module")
def signer() -> Signer:
    material = base64.decode(SEED)
    assert material is not None and material[0] == 1
    return Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(material[1:]))


def files(size: int) -> tuple[Edge, dict[str, bytes]]:
    """All that a log which takes one entry at a time has written when it has this size."""
    edge, written = Edge(), {}
    for count in range(size):
        longer, tiles = edge.extended([leaf_hash(ENTRIES[count])])
        bundles = entry_bundles(count, ENTRIES[:count], [ENTRIES[count]])
        written |= {tile.path: data for tile, data in (*tiles, *bundles)}
        edge = longer
    return edge, written


def test_the_key_is_the_published_one(signer: Signer) -> None:
    assert signer.key.vkey == VKEY


@pytest.mark.parametrize("size", CHECKPOINTS)
def test_checkpoints_are_byte_identical(signer: Signer, size: int) -> None:
    edge, _ = files(size)
    note = sign_checkpoint(Checkpoint(ORIGIN, size, edge.root()), [signer])
    assert sha256(note).hexdigest() == CHECKPOINTS[size]


def test_the_last_checkpoint_is_the_published_text(signer: Signer) -> None:
    edge, _ = files(15)
    assert sign_checkpoint(Checkpoint(ORIGIN, 15, edge.root()), [signer]).decode() == CHECKPOINT_15
    checkpoint, _ = open_checkpoint(CHECKPOINT_15.encode(), [VerifierKey.parse(VKEY)])
    assert checkpoint == Checkpoint(ORIGIN, 15, edge.root())


def test_tiles_and_entry_bundles_are_byte_identical() -> None:
    _, written = files(15)
    assert set(written) == {f"tile/{kind}/000.p/{width}" for kind in ("0", "entries") for width in range(1, 16)}
    for width, digest in TILES.items():
        assert sha256(written[f"tile/0/000.p/{width}"]).hexdigest() == digest
    for width, digest in BUNDLES.items():
        assert sha256(written[f"tile/entries/000.p/{width}"]).hexdigest() == digest
