"""Tokens that are refused for the form of their text, or for what is no strict JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.vectors.forge import FAR, PRIVATE, b64, claims, compact_json, raw_claims, sealed, signed

ED = PRIVATE["ed-1"]
HEADER: dict[str, object] = {"alg": "EdDSA", "kid": "ed-1"}


class Refused(NamedTuple):
    name: str
    token: str
    reason: str


def refused_form() -> Iterator[Refused]:
    yield from _parts()
    yield from _characters()
    yield from _not_canonical()
    yield from _json()
    yield from _nested()


def good(header: object = HEADER, payload: object = None) -> str:
    """Properly signed, whatever it says."""
    return signed(ED, "EdDSA", header, claims() if payload is None else payload)


def _parts() -> Iterator[Refused]:
    head, payload, signature = good().split(".")
    for name, token in {
        "one-part": head,
        "two-parts": f"{head}.{payload}",
        "fourth-part": f"{head}.{payload}.{signature}.{signature}",
        "fourth-part-empty": f"{head}.{payload}.{signature}.",
        "five-parts-as-an-encrypted-token-has": f"{head}.{payload}.{signature}.{payload}.{signature}",
        "only-dots": "....",
        "json-serialization": compact_json({"payload": payload, "protected": head, "signature": signature}),
    }.items():
        yield Refused(name, token, "token_parts_wrong")
    yield Refused("empty-header", f".{payload}.{signature}", "token_json_invalid")
    yield Refused("empty-parts", "..", "token_json_invalid")
    yield Refused("empty-payload", good(payload=""), "token_json_invalid")
    yield Refused("empty-signature", f"{head}.{payload}.", "token_signature_invalid")
    filler = "x" * 12_300
    yield Refused("over-16-kib", good(payload=claims(filler=filler)), "token_too_long")
    yield Refused("over-16-kib-in-the-header", good({**HEADER, "filler": filler}), "token_too_long")


def _characters() -> Iterator[Refused]:
    token = good()
    head, payload, signature = token.split(".")
    places = {"header": 0, "payload": 1, "signature": 2}
    for name, place in places.items():
        for what, mark in {
            "padded": "=",
            "doubly-padded": "==",
            "ended-by-a-newline": "\n",
            "ended-by-a-space": " ",
        }.items():
            parts = [head, payload, signature]
            parts[place] += mark
            yield Refused(f"{name}-{what}", ".".join(parts), "token_characters_invalid")
        for what, mark in {
            "space": " ",
            "newline": "\n",
            "tab": "\t",
            "plus": "+",
            "slash": "/",
            "nul": "\0",
            "e-acute": "é",
        }.items():
            parts = [head, payload, signature]
            parts[place] = parts[place][:8] + mark + parts[place][8:]
            yield Refused(f"{what}-in-the-{name}", ".".join(parts), "token_characters_invalid")
    yield Refused("space-before", f" {token}", "token_characters_invalid")
    yield Refused("signed-over-a-newline", sealed(ED, "EdDSA", f"{head}.{payload}\n"), "token_characters_invalid")
    yield Refused("quoted", f'"{token}"', "token_characters_invalid")


def _not_canonical() -> Iterator[Refused]:
    """Other spellings of the same bytes, and signed as they stand: only the spelling is wrong."""
    head, payload, signature = good({**HEADER, "x": ""}, claims(x="1")).split(".")
    assert len(head) % 4 and len(payload) % 4 and len(signature) % 4, "no unused bits to set"
    reason = "token_base64_not_canonical"
    yield Refused("header-not-canonical", sealed(ED, "EdDSA", f"{_respelt(head)}.{payload}"), reason)
    yield Refused("payload-not-canonical", sealed(ED, "EdDSA", f"{head}.{_respelt(payload)}"), reason)
    yield Refused("signature-not-canonical", f"{head}.{payload}.{_respelt(signature)}", reason)
    yield Refused("header-of-an-impossible-length", sealed(ED, "EdDSA", f"{_lengthened(head)}.{payload}"), reason)
    yield Refused("payload-of-an-impossible-length", sealed(ED, "EdDSA", f"{head}.{_lengthened(payload)}"), reason)
    yield Refused("signature-of-an-impossible-length", f"{head}.{payload}.{_lengthened(signature)}", reason)


def _respelt(part: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) + 1]


def _lengthened(part: str) -> str:
    return part + "A" * ((1 - len(part)) % 4)


def _json() -> Iterator[Refused]:
    header, payload = compact_json(HEADER), compact_json(claims())
    for name, text, reason in (
        ("duplicate-{}-name", ',"alg":"EdDSA","alg":"EdDSA"}', "token_duplicate_member"),
        ("duplicate-{}-name-behind-an-escape", ',"x":1,"\\u0078":1}', "token_duplicate_member"),
        ("duplicate-{}-name-deep-inside", ',"x":[{"y":{"z":1,"z":1}}]}', "token_duplicate_member"),
        ("nan-in-the-{}", ',"x":NaN}', "token_number_not_finite"),
        ("infinity-deep-in-the-{}", ',"x":[{"y":-Infinity}]}', "token_number_not_finite"),
        ("1e999-in-the-{}", ',"x":1e999}', "token_number_not_finite"),
        ("lone-surrogate-in-the-{}", ',"x":"\\ud800"}', "token_json_invalid"),
        ("integer-of-5000-digits-in-the-{}", f',"x":{"9" * 5_000}}}', "token_json_invalid"),
        ("data-after-the-{}", "}{}", "token_json_invalid"),
        ("trailing-comma-in-the-{}", ",}", "token_json_invalid"),
        ("comment-in-the-{}", "/**/}", "token_json_invalid"),
        ("{}-cut-off", "", "token_json_invalid"),
    ):
        yield Refused(name.format("header"), good(header[:-1] + text), reason)
        yield Refused(name.format("claim"), good(payload=payload[:-1] + text), reason)
    for name, data, reason in (
        ("not-utf-8", b'{"alg":"EdDSA","x":"\xff"}', "token_json_invalid"),
        ("surrogate-in-utf-8", b'{"alg":"EdDSA","x":"\xed\xa0\x80"}', "token_json_invalid"),
        ("byte-order-mark", b'\xef\xbb\xbf{"alg":"EdDSA"}', "token_json_invalid"),
        ("utf-16", '{"alg":"EdDSA"}'.encode("utf-16-le"), "token_json_invalid"),
        ("not-json", b"alg=EdDSA", "token_json_invalid"),
        ("array", b'[{"alg":"EdDSA"}]', "token_json_not_object"),
        ("string", b'"EdDSA"', "token_json_not_object"),
        ("null", b"null", "token_json_not_object"),
        ("number", b"1", "token_json_not_object"),
    ):
        yield Refused(f"header-{name}", good(data), reason)
        yield Refused(f"payload-{name}", good(payload=data), reason)
    yield Refused("duplicate-alg-none-first", good('{"alg":"none","alg":"EdDSA"}'), "token_duplicate_member")
    yield Refused("duplicate-exp", good(payload=raw_claims("exp", f'1,"exp":{FAR}')), "token_duplicate_member")
    yield Refused("duplicate-sub", good(payload=raw_claims("sub", '"bob","sub":"alice"')), "token_duplicate_member")


def _nested() -> Iterator[Refused]:
    reason = "token_json_too_deep"
    for levels in (32, 1_000):
        for what, text in {
            "arrays": "[" * levels + "]" * levels,
            "objects": '{"x":' * levels + "1" + "}" * levels,
            "arrays-left-open": "[" * levels,
        }.items():
            name = f"{levels + 1}-levels-of-{what}" if levels == 32 else f"1000-deep-{what}"
            yield Refused(f"header-{name}", good(f'{compact_json(HEADER)[:-1]},"x":{text}}}'), reason)
            yield Refused(f"payload-{name}", good(payload=raw_claims("x", text)), reason)
    bare = b64(b"[" * 6_000)
    yield Refused("header-all-brackets", f"{bare}.e30.AA", reason)
