"""Signed notes, checkpoints and cosignatures: the specifications' examples, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hatchpay.errors import InvalidProof
from hatchpay.ledger import base64, note
from hatchpay.ledger.checkpoint import (
    Checkpoint,
    decimal,
    open_checkpoint,
    parse_body,
    sign_checkpoint,
    with_signatures,
)
from hatchpay.ledger.cosignature import Cosigner, WitnessKey
from hatchpay.ledger.merkle import EMPTY_ROOT
from hatchpay.ledger.note import Signature, Signer, VerifierKey
from hatchpay.ledger.policy import WitnessPolicy, cosigners

# The example of C2SP signed-note.
EXAMPLE_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
""".encode()
# The example of C2SP tlog-checkpoint with a cosignature, from tlog-cosignature.
COSIGNED = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()  # noqa: E501
LOG = Signer("example.com/log", Ed25519PrivateKey.from_private_bytes(bytes(32)))
OTHER = Signer("example.com/log", Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
WITNESSES = [Cosigner(f"witness/{n}", Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (2, 3, 4)]
CHECKPOINT = Checkpoint("example.com/log", 7, bytes(32))
SIGNED = sign_checkpoint(CHECKPOINT, [LOG])


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidProof) as caught:
        call()
    return caught.value.code


def test_the_example_of_the_note_specification_verifies() -> None:
    key = VerifierKey.parse(EXAMPLE_VKEY)
    opened = note.parse(EXAMPLE_NOTE)
    assert (key.name, key.key_id.hex(), key.vkey) == ("example.com/foo", "530d903a", EXAMPLE_VKEY)
    assert opened.text == "This is an example message.\n"
    assert note.verified_by(opened, [key]) == (key,)
    assert opened.encode() == EXAMPLE_NOTE


def test_the_example_of_the_checkpoint_specification_is_read() -> None:
    opened = note.parse(COSIGNED)
    root = bytes.fromhex("0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62")
    assert parse_body(opened.text) == Checkpoint("example.com/behind-the-sofa", 20_852_163, root)
    assert [one.name for one in opened.signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert int.from_bytes(opened.signatures[1].value[:8]) == 1_679_315_147
    assert (len(opened.signatures[0].value), len(opened.signatures[1].value)) == (64, 72)
    assert opened.encode() == COSIGNED


def test_signatures_of_others_are_passed_over_and_a_wrong_one_of_a_known_key_is_not() -> None:
    opened = note.parse(SIGNED)
    assert note.verified_by(opened, [OTHER.key]) == ()
    forged = Signature(OTHER.key.name, OTHER.key.key_id, opened.signatures[0].value)
    both = note.parse(with_signatures(SIGNED, [forged]))
    assert note.verified_by(both, [LOG.key]) == (LOG.key,)
    assert refused(lambda: note.verified_by(both, [LOG.key, OTHER.key])) == "signature_invalid"


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "example.com/foo",
        EXAMPLE_VKEY[:-1],
        EXAMPLE_VKEY + "=",
        EXAMPLE_VKEY + "\n",
        " " + EXAMPLE_VKEY,
        EXAMPLE_VKEY.replace("530d903a", "530D903A"),
        EXAMPLE_VKEY.replace("530d903a", "530d903b"),
        EXAMPLE_VKEY.replace("example.com/foo", "example.com/fop"),
        EXAMPLE_VKEY.replace("example.com/foo", ""),
        EXAMPLE_VKEY.replace("+Ae", "+Be"),
        EXAMPLE_VKEY.replace("+", "++", 1),
    ],
)
def test_a_vkey_has_one_spelling(vkey: str) -> None:
    assert refused(lambda: VerifierKey.parse(vkey)) in {"vkey_malformed", "vkey_type"}


def test_a_witness_key_is_not_a_log_key() -> None:
    assert refused(lambda: VerifierKey.parse(WITNESSES[0].key.vkey)) == "vkey_type"
    assert refused(lambda: WitnessKey.parse(LOG.key.vkey)) == "vkey_type"
    assert WitnessKey.parse(WITNESSES[0].key.vkey) == WITNESSES[0].key


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        b"\n\n" + SIGNED.partition(b"\n\n")[2],
        SIGNED[:-1],
        SIGNED + b"\n",
        SIGNED.replace(b"\n", b"\r\n"),
        SIGNED.replace("—".encode(), b"-"),
        SIGNED.replace(b"log ", b"log  "),
        SIGNED.replace(b"=\n", b"\n"),
        SIGNED.replace(b"example.com/log ", "example.com\u2003/log ".encode()),
        SIGNED.replace(b"example.com/log ", b"example+com/log "),
        SIGNED[:10] + b"\xff" + SIGNED[10:],
        SIGNED[:10] + b"\0" + SIGNED[10:],
        "text\n\n— a AAAA\n".encode(),
    ],
)
def test_what_is_not_a_note_is_refused(data: bytes) -> None:
    assert refused(lambda: note.parse(data)) == "note_malformed"


def test_a_note_is_bounded() -> None:
    line = SIGNED.partition(b"\n\n")[2]
    assert len(note.parse(b"text\n\n" + line * 64).signatures) == 64
    assert refused(lambda: note.parse(b"text\n\n" + line * 65)) == "note_malformed"
    assert refused(lambda: note.parse(b"x" * 256 * 1024 + b"\n\n" + line)) == "note_too_large"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb", "a\x1fb", "\ud800"])
def test_a_key_may_not_have_any_name(name: str) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    assert refused(lambda: Signer(name, private)) == "key_name_invalid"
    assert refused(lambda: Cosigner(name, private)) == "key_name_invalid"


@pytest.mark.parametrize("text", ["", "no newline", "a\rb\n", "\ud800\n"])
def test_a_text_that_no_note_may_have_is_not_signed(text: str) -> None:
    assert refused(lambda: note.sign(text, [LOG])) == "note_malformed"


ROOT = base64.encode(bytes(32))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "a\n7\n",
        f"a\n7\n{ROOT}",
        f"\n7\n{ROOT}\n",
        f"a\n07\n{ROOT}\n",
        f"a\n+7\n{ROOT}\n",
        f"a\n-7\n{ROOT}\n",
        f"a\n7 \n{ROOT}\n",
        f"a\n٧\n{ROOT}\n",
        f"a\n9223372036854775808\n{ROOT}\n",
        f"a\n7\n{ROOT[:-4]}\n",
        f"a\n7\n{ROOT[:-1]}\n",
        f"a\n7\n{ROOT[:-2]}B=\n",
        f"a\n7\n{ROOT}\n\n",
        f"a\n7\n{ROOT}\n\nb\n",
        f"a\r\n7\n{ROOT}\n",
    ],
)
def test_what_is_not_a_checkpoint_is_refused(body: str) -> None:
    assert refused(lambda: parse_body(body)) == "checkpoint_malformed"


def test_extension_lines_are_kept() -> None:
    assert parse_body(f"a\n7\n{ROOT}\nmore\n").extensions == ("more",)


def test_an_empty_tree_has_one_root() -> None:
    assert parse_body(f"a\n0\n{base64.encode(EMPTY_ROOT)}\n").size == 0
    assert refused(lambda: parse_body(f"a\n0\n{ROOT}\n")) == "empty_root_wrong"


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("9223372036854775807", 2**63 - 1), ("00", None), ("１", None)])
def test_decimal_numbers_have_one_spelling(text: str, value: int | None) -> None:
    assert decimal(text) == value


def test_a_checkpoint_is_its_own_logs() -> None:
    assert open_checkpoint(SIGNED, [LOG.key])[0] == CHECKPOINT
    assert open_checkpoint(SIGNED, [OTHER.key, LOG.key])[0] == CHECKPOINT
    elsewhere = Signer("example.com/other", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    assert refused(lambda: open_checkpoint(SIGNED, [elsewhere.key])) == "log_unknown"
    assert refused(lambda: open_checkpoint(SIGNED, [OTHER.key])) == "log_signature_missing"
    assert refused(lambda: open_checkpoint(sign_checkpoint(CHECKPOINT, [elsewhere]), [LOG.key, elsewhere.key])) == (
        "log_signature_missing"
    )


def test_cosignatures_count_by_the_policy() -> None:
    text = CHECKPOINT.body()
    data = with_signatures(SIGNED, [one.cosign(text, 1_700_000_000 + at) for at, one in enumerate(WITNESSES[:2])])
    _, opened = open_checkpoint(data, [LOG.key])
    keys = tuple(one.key for one in WITNESSES)
    found = cosigners(opened, WitnessPolicy(keys, 2))
    assert [(one.witness.name, one.timestamp) for one in found] == [
        ("witness/2", 1_700_000_000),
        ("witness/3", 1_700_000_001),
    ]
    assert refused(lambda: cosigners(opened, WitnessPolicy(keys, 3))) == "witnesses_missing"


def test_one_witness_twice_is_not_two() -> None:
    text = CHECKPOINT.body()
    data = with_signatures(SIGNED, [WITNESSES[0].cosign(text, at) for at in (1, 2)])
    _, opened = open_checkpoint(data, [LOG.key])
    keys = (WITNESSES[0].key, WITNESSES[1].key)
    assert [one.timestamp for one in cosigners(opened, WitnessPolicy(keys, 1))] == [2]
    assert refused(lambda: cosigners(opened, WitnessPolicy(keys, 2))) == "witnesses_missing"
    same = WitnessKey("other-name", WITNESSES[0].key.public)
    assert refused(lambda: WitnessPolicy((WITNESSES[0].key, same), 2)) == "policy_invalid"
    assert refused(lambda: WitnessPolicy(keys, 3)) == "policy_invalid"


def test_a_cosignature_binds_its_time_and_its_checkpoint() -> None:
    cosigner, key = WITNESSES[0], WITNESSES[0].key
    value = cosigner.cosign(CHECKPOINT.body(), 5).value
    text = CHECKPOINT.body().encode()
    assert key.verifies(text, value)
    assert not key.verifies(text, (6).to_bytes(8) + value[8:])
    assert not key.verifies(text.replace(b"7", b"8"), value)
    assert not key.verifies(text, value[:-1])
    assert not key.verifies(text, value + b"\0")
    assert refused(lambda: cosigner.cosign("x\n", 0)) == "timestamp_invalid"
    assert refused(lambda: cosigner.cosign("x\n", 2**63)) == "timestamp_invalid"


def test_the_private_keys_are_in_no_repr() -> None:
    assert "vkey" not in repr(LOG) and LOG.key.vkey in repr(LOG)
    assert WITNESSES[0].key.vkey in repr(WITNESSES[0])
