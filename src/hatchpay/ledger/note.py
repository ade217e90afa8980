"""Signed notes: C2SP signed-note (https://c2sp.org/signed-note).

Frozen format, in UTF-8 without control characters other than newline:

    <text, which ends with a newline>
    <an empty line>
    — <key name> base64(key id of 4 bytes || signature)          one line or more

    key id   the first 4 bytes of SHA256(name || 0x0A || type || public key)
    vkey     name+hex(key id)+base64(type || public key)

Type 0x01 is Ed25519 over the text; other types have modules of their own. A text means nothing until a known key is
verified to have signed it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hatchpay.errors import InvalidProof
from hatchpay.ledger import base64

__all__ = [
    "ED25519",
    "MAX_NOTE_BYTES",
    "MAX_SIGNATURES",
    "Note",
    "Signature",
    "Signer",
    "SignsNotes",
    "Verifier",
    "VerifierKey",
    "ed25519_verifies",
    "is_key_name",
    "key_id",
    "parse",
    "public_bytes",
    "read_vkey",
    "sign",
    "signature_lines",
    "verified_by",
    "write_vkey",
]

ED25519: Final = 0x01
MAX_NOTE_BYTES: Final = 256 * 1024
MAX_SIGNATURES: Final = 64
_KEY_ID_BYTES: Final = 4
_KEY_BYTES: Final = 32
_LONGEST_VKEY: Final = 1024
_CONTROL: Final = re.compile("[\0-\x09\x0b-\x1f]")
_SIGNATURE: Final = re.compile("— ([^ ]+) ([A-Za-z0-9+/=]+)")


class Signature(msgspec.Struct, frozen=True):
    """One line. `value` is what follows the key id; what it means, the key's type says."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        """With its newline."""
        return f"— {self.name} {base64.encode(self.key_id + self.value)}\n"


class Note(msgspec.Struct, frozen=True):
    """`text` ends with a newline."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        return f"{self.text}\n{''.join(one.line() for one in self.signatures)}".encode()


class Verifier(Protocol):
    """A public key of some type."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> bytes: ...

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether `signature`, without the key id, is this key's over `text`."""
        ...


class SignsNotes(Protocol):
    """A private key of some type."""

    def sign(self, text: bytes) -> Signature: ...


VerifierT = TypeVar("VerifierT", bound=Verifier)


class VerifierKey(msgspec.Struct, frozen=True):
    """An Ed25519 key that signs notes, such as a log's; `public` is its 32 bytes. Its text form is the vkey."""

    name: str
    public: bytes

    @staticmethod
    def parse(vkey: str) -> VerifierKey:
        """Raises InvalidProof."""
        return VerifierKey(*read_vkey(vkey, ED25519))

    @property
    def key_id(self) -> bytes:
        return key_id(self.name, ED25519, self.public)

    @property
    def vkey(self) -> str:
        return write_vkey(self.name, ED25519, self.public)

    def verifies(self, text: bytes, signature: bytes) -> bool:
        return ed25519_verifies(self.public, signature, text)


class Signer:
    """An Ed25519 private key with the name it signs under."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        """Raises InvalidProof for a name that no key may have."""
        if not is_key_name(name):
            raise InvalidProof("a key's name has no spaces, control characters or plus", code="key_name_invalid")
        self._private = private
        self.key = VerifierKey(name, public_bytes(private))

    def __repr__(self) -> str:
        return f"Signer({self.key.vkey})"

    def sign(self, text: bytes) -> Signature:
        return Signature(self.key.name, self.key.key_id, self._private.sign(text))


def sign(text: str, signers: Sequence[SignsNotes]) -> Note:
    """Raises InvalidProof for a text that no note may have."""
    if not signers or not text.endswith("\n") or _CONTROL.search(text) or _utf8(text) is None:
        raise InvalidProof("a note is UTF-8, ends with a newline and has a signer", code="note_malformed")
    data = text.encode()
    return Note(text, tuple(signer.sign(data) for signer in signers))


def parse(data: bytes) -> Note:
    """Nothing is verified. Raises InvalidProof for everything but what `Note.encode` gives."""
    if len(data) > MAX_NOTE_BYTES:
        raise InvalidProof("the note is too large", code="note_too_large")
    try:
        content = data.decode()
    except UnicodeDecodeError:
        raise InvalidProof("the note is not UTF-8", code="note_malformed") from None
    text, empty, lines = content.rpartition("\n\n")
    if not empty or not text or _CONTROL.search(content):
        raise InvalidProof("the note has no text, or no signatures, or control characters", code="note_malformed")
    return Note(text + "\n", signature_lines(lines))


def signature_lines(lines: str) -> tuple[Signature, ...]:
    """One line or more, each with its newline. Raises InvalidProof."""
    if not lines.endswith("\n") or lines.count("\n") > MAX_SIGNATURES:
        raise InvalidProof(f"a note has from 1 to {MAX_SIGNATURES} signatures, a line each", code="note_malformed")
    return tuple(map(_signature, lines[:-1].split("\n")))


def verified_by(note: Note, known: Sequence[VerifierT]) -> tuple[VerifierT, ...]:
    """Those of the `known` keys that have signed, each once, in the order of the signatures.

    Signatures of other keys are ignored. Raises InvalidProof where one of a known key is wrong; a caller must judge
    whether those that have signed suffice.
    """
    text = note.text.encode()
    found: list[VerifierT] = []
    for signature in note.signatures:
        for key in known:
            if key.name != signature.name or key.key_id != signature.key_id:
                continue
            if not key.verifies(text, signature.value):
                raise InvalidProof("a known key's signature is wrong", code="signature_invalid")
            if key not in found:
                found.append(key)
    return tuple(found)


def is_key_name(name: str) -> bool:
    return (
        bool(name)
        and "+" not in name
        and not any(char.isspace() for char in name)
        and not _CONTROL.search(name)
        and _utf8(name) is not None
    )


def key_id(name: str, kind: int, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:_KEY_ID_BYTES]


def write_vkey(name: str, kind: int, public: bytes) -> str:
    return f"{name}+{key_id(name, kind, public).hex()}+{base64.encode(bytes([kind]) + public)}"


def read_vkey(vkey: str, kind: int) -> tuple[str, bytes]:
    """Name and public key. Raises InvalidProof for everything but what `write_vkey` gives for an Ed25519 key."""
    name, _, rest = vkey.partition("+") if len(vkey) <= _LONGEST_VKEY else ("", "", "")
    material = base64.decode(rest.partition("+")[2])
    if not is_key_name(name) or material is None or len(material) != 1 + _KEY_BYTES:
        raise InvalidProof("not a verifier key: name+key id+base64", code="vkey_malformed")
    if material[0] != kind:
        raise InvalidProof("the verifier key is of another type", code="vkey_type")
    public = material[1:]
    if write_vkey(name, kind, public) != vkey:
        raise InvalidProof("the verifier key's id is not that of its name and key", code="vkey_malformed")
    return name, public


def public_bytes(private: Ed25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


def ed25519_verifies(public: bytes, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _signature(line: str) -> Signature:
    match = _SIGNATURE.fullmatch(line)
    raw = base64.decode(match[2]) if match else None
    if match is None or raw is None or len(raw) <= _KEY_ID_BYTES or not is_key_name(match[1]):
        raise InvalidProof("a line is not a note's signature", code="note_malformed")
    return Signature(match[1], raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])


def _utf8(text: str) -> bytes | None:
    """None for a text with surrogates."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None
