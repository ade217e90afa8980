"""Texts: what is found whatever its disguise, and what is left alone."""

from __future__ import annotations

import json
import urllib.parse

import pytest

from hatchpay.audit.redact import redact_text

CARDS = [
    "4111111111111111",
    "4012888888881881",
    "4222222222222",
    "5555555555554444",
    "5105105105105100",
    "2223003122003222",
    "2720992720992720"[:15] + "9",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6011000990139424",
    "30569309025904",
    "38520000023237",
    "3530111333300000",
    "3566002020360505",
    "6200000000000005",
    "6205500000000000004",
    "6759649826438453",
    "501800000009",
    "2200000000000004",
]


def luhn_digit(body: str) -> str:
    total = sum(sum(divmod(int(c) * (2 - i % 2), 10)) for i, c in enumerate(reversed(body)))
    return str(-total % 10)


CARDS[6] = "272099000000000" + luhn_digit("272099000000000")
CARDS += ["4" + "1" * 16 + luhn_digit("4" + "1" * 16), "4" + "2" * 17 + luhn_digit("4" + "2" * 17)]


def masked(card: str) -> str:
    return card[:6] + "*" * (len(card) - 10) + card[-4:]


@pytest.mark.parametrize("card", CARDS)
def test_a_card_number_keeps_its_first_six_and_last_four(card: str) -> None:
    assert redact_text(card) == masked(card)
    assert redact_text(f"paid with {card}, thanks") == f"paid with {masked(card)}, thanks"
    assert redact_text(f"x{card}y") == f"x{masked(card)}y"


@pytest.mark.parametrize(
    "written",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111 - 1111 - 1111 - 1111",
        "4111+1111+1111+1111",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111–1111–1111–1111",
        "4111‑1111‑1111‑1111",
        "%34111111111111111",
        "%2534111111111111111",
        "%25252534111111111111111",
        "%" + "25" * 20 + "34111111111111111",
        "%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31",
        "4111%201111%201111%201111",
        "\\u0034111111111111111",
        "\\\\u0034111111111111111",
        "&#52;111111111111111",
        "&#x34;111111111111111",
        "&amp;#52;111111111111111",
        "４１１１１１１１１１１１１１１１",
        "٤١١١١١١١١١١١١١١١",
        "4111\u200b1111\u200b1111\u200b1111",
        "4111\u00ad111111111111",
        "4111\u0332111111111111",
        "4111\x00111111111111",
        "4.111111111111111e15",
        "4111111111.111111E+6",
        "41111111111111110e-1",
    ],
)
def test_a_disguised_card_number_is_found(written: str) -> None:
    assert redact_text(written) == "411111******1111"
    assert "411111******1111" in redact_text(f"id {written} end")


def test_a_card_number_is_found_within_more_digits() -> None:
    assert redact_text("4111 1111 1111 1111 2025") == "411111******1111 2025"
    assert redact_text("25 4111 1111 1111 1111") == "25 411111******1111"
    assert redact_text("4111111111111111.0") == "411111******1111.0"
    assert "41111111" not in redact_text("9999" + "4111111111111111" + "0000")
    assert redact_text("1" * 40) == "[redacted digits]"


def test_two_card_numbers_are_both_masked() -> None:
    assert redact_text("4111111111111111 5555555555554444") == "411111******1111 555555******4444"
    assert redact_text("4111111111111111,5555555555554444") == "411111******1111,555555******4444"


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "1732413042123",
        "1732413042123456",
        "1732413042123456789",
        "018f3c1e-7b2a-7cc0-8d3f-12ab567890ab",
        "50127123-8123-4123-8123-601234567894",
        "order 100200300400",
        "1250.10",
        "0.1",
        "411111******1111",
        "+48 600 700 800",
        "2026-11-24T02:22:37Z",
        "2026-11-24 02:22:37.123456",
        "PL61 is a code",
        "basic plan, the company pinned the shipping in Spanish",
        "https://example.com:8443/a?b=c",
        "AT&T, R&D & more",
        "Zażółć gęślą jaźń — no, no dash",
        "漢字",
        "grey eyes, a new one",
        "token_type=card&next_cursor=abc&idempotency_key=k1",
        "key-value",
        "Asia and Kia",
        "100% sure",
        "a\\b",
        "",
    ],
)
def test_a_harmless_text_is_left_alone(text: str) -> None:
    assert redact_text(text) == text


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"
SECRETS = [
    "hp_live_0123456789abcdefghijklABCDEFGHIJKLMNOPQRSTUVWXYZ01234567abcde",
    "hp_test_abc",
    "HP_LIVE_abc",
    "Hp_Test_Zz9",
    JWT,
    JWT.rsplit(".", 1)[0] + ".",
    "eyJhbGciOiJIUzI1NiJ9..c2lnbmF0dXJl",
    "sk_live_abcdefgh12345678",
    "sk_test_abcdefgh12345678",
    "rk_live_abcdefgh12345678",
    "pk_live_abcdefgh12345678",
    "whsec_abcdefgh12345678",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "gho_abcdefghijklmnopqrstuvwxyz0123456789",
    "ghs_abcdefghijklmnopqrstuvwxyz0123456789",
    "github_pat_abcdefghijklmnopqrstuvwxyz0123456789",
    "xoxb-1234567-abcdefghijk",
    "xoxp-1234567-abcdefghijk",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "glpat-abcdefghij0123456789",
    "npm_abcdefghijklmnopqrstuvwxyz0123456789",
    "SG.abcdefghijklmnopqrstuv.wxyz0123456789",
    "EAACEdEose0cBA1234567890abcdef",
    "shpat_0123456789abcdef0123456789abcdef",
    "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_known_by_its_shape(secret: str) -> None:
    for text in (secret, f"use {secret} now", f"x.{secret}", f"1{secret}", f"/v1/{secret}/x"):
        redacted = redact_text(text)
        assert secret[4:] not in redacted
        assert "[redacted" in redacted
    escaped = "".join(f"\\u{ord(c):04x}" for c in secret)
    percent = "".join(f"%{ord(c):02X}" for c in secret)
    for text in (escaped, percent, urllib.parse.quote(percent), f"a{percent[:9]}{secret[3:]}"):
        assert "[redacted" in redact_text(text)
        assert secret[4:] not in urllib.parse.unquote(redact_text(text))


def test_our_own_key_is_replaced_whole() -> None:
    assert redact_text(f"a {SECRETS[0]} b") == "a [redacted key] b"
    assert redact_text("hp_live_%61bc") == "[redacted key]"
    assert redact_text("hp%5Flive_abc") == "[redacted key]"


def test_credentials_of_a_scheme_are_replaced() -> None:
    assert redact_text("Bearer abc.def-ghi") == "Bearer [redacted]"
    assert redact_text("with bearer x1") == "with bearer [redacted]"
    assert redact_text("Basic dXNlcjpwYXNz") == "Basic [redacted]"
    assert redact_text("Authorization: Bearer abc") == "Authorization: [redacted]"


def test_a_password_in_a_url_is_replaced() -> None:
    assert redact_text("postgres://app:hunter2@db/x") == "postgres://[redacted]@db/x"


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\nMIIEdef\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "pem",
    [PEM, PEM.replace("RSA PRIVATE KEY", "CERTIFICATE"), PEM.replace("\n", "\\n"), PEM[:60], PEM.replace(" ", "%20")],
)
def test_a_pem_block_is_replaced_whole_even_if_it_does_not_end(pem: str) -> None:
    assert "MIIE" not in redact_text(f"key {pem}")
    assert "[redacted PEM]" in redact_text(f"key {pem}")


@pytest.mark.parametrize(
    "track",
    [
        "%B4111111111111111^DOE/JOHN^25121011000012300000?",
        "B4111111111111111^DOE/JOHN^25121011000012300000",
        ";4111111111111111=25121011000012345678?",
        "4111111111111111D25121011000012345678",
        "%25B4111111111111111%5EDOE%2FJOHN%5E25121011000012300000%3F",
    ],
)
def test_nothing_is_kept_of_track_data(track: str) -> None:
    redacted = redact_text(f"swipe {track}")
    assert redacted == "swipe [removed]"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("password=hunter2&a=b", "password=[redacted]&a=b"),
        ("password: hunter2", "password: [redacted]"),
        ("db_password => 'hunter2'", "db_password => '[redacted]'"),
        ("cvv=123", "cvv=[removed]"),
        ("the cvv: 123.", "the cvv: [removed]"),
        ("card number: 12345", "card number: [redacted]"),
        ("pin 1234", "pin [removed]"),
        ("CVV2 123", "CVV2 [removed]"),
        ("security code: 123", "security code: [removed]"),
        ('{"cvv":"123","a":1}', '{"cvv":"[removed]","a":1}'),
        ('{\\"cvv\\":\\"123\\"}', '{"cvv":"[removed]"}'),
        ('{"credentials":{"user":"a","x":["b"]},"a":1}', '{"credentials":[redacted],"a":1}'),
        ("%63vv%3D123", "cvv=[removed]"),
        ("<cvv>123</cvv>", "<cvv>[removed]</cvv>"),
        ("<c:pin><v>12</v></c:pin>", "<c:pin>[removed]</c:pin>"),
        ("Cookie: a=b; c=d\nHost: x", "Cookie: [redacted]\nHost: x"),
        ("/v1/x;jsessionid=abc/y", "/v1/x;jsessionid=[redacted]"),
        ("pan=4111111111111111", "pan=411111******1111"),
    ],
)
def test_a_value_is_redacted_for_the_name_before_it(text: str, redacted: str) -> None:
    assert redact_text(text) == redacted


@pytest.mark.parametrize("text", [*CARDS, *SECRETS, PEM, json.dumps({"cvv": 1}), "token=[redacted]x", "%B1^A^"])
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once
