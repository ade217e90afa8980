"""Targets and headers: what is kept of them."""

from __future__ import annotations

import pytest

from hatchpay.audit.redact import redact_headers, redact_url


def test_a_clean_path_is_kept_as_it_came() -> None:
    for path in (
        b"/",
        b"",
        b"/v1/payment-links/018f3c1e-7b2a-7cc0-8d3f-12ab567890ab/refunds/",
        b"/a%20b/c",
        b"/txn_01HX/x",
    ):
        assert redact_url(path, b"") == path.decode()


@pytest.mark.parametrize(
    "segment",
    [
        b"4111111111111111",
        b"4111-1111-1111-1111",
        b"4111%201111%201111%201111",
        b"%34111111111111111",
        b"x4111111111111111y",
        "４１１１１１１１１１１１１１１１".encode(),
    ],
)
def test_a_card_number_in_a_path_is_masked(segment: bytes) -> None:
    assert "411111******1111" in redact_url(b"/v1/cards/" + segment + b"/x", b"")


def test_a_key_in_a_path_is_replaced() -> None:
    assert redact_url(b"/v1/keys/hp_live_abc/x", b"") == "/v1/keys/[redacted key]/x"
    assert redact_url(b"/v1/keys/hp%5flive%5fabc", b"") == "/v1/keys/[redacted key]"
    assert redact_url(b"/whsec_abc", b"") == "/[redacted key]"


def test_query_values_are_dropped_unless_listed() -> None:
    assert (
        redact_url(b"/p", b"q=hello&limit=20&status=paid&empty=")
        == "/p?q=[dropped]&limit=20&status=paid&empty=[dropped]"
    )


def test_listed_query_values_are_redacted() -> None:
    assert redact_url(b"/p", b"from=4111111111111111") == "/p?from=411111******1111"
    assert redact_url(b"/p", b"route=/x/hp_live_abc") == "/p?route=/x/[redacted key]"


def test_query_names_are_redacted() -> None:
    assert redact_url(b"/p", b"4111111111111111=1") == "/p?411111******1111=[dropped]"
    assert redact_url(b"/p", b"hp_live_abc=1&x") == "/p?[redacted key]=[dropped]&x"
    assert "411111" not in redact_url(b"/p", b"4111+1111+1111+1111")
    assert "41111" not in redact_url(b"/p", b"%34111111111111111=1").replace("411111******1111", "")


def test_bytes_beyond_ascii_never_raise() -> None:
    assert redact_url(b"/\xff\xfe", b"\xff=\xfe") == "/\\xff\\xfe?\\xff=[dropped]"


def test_a_flood_of_parameters_is_cut() -> None:
    assert redact_url(b"/p", b"&".join([b"a=1"] * 10_000)).endswith("&[dropped]")


def test_headers_are_kept_by_list() -> None:
    assert redact_headers(
        [
            (b"Host", b"api.example.com"),
            (b"user-agent", b"curl/8"),
            (b"X-Secret-Thing", b"zzz"),
            (b"content-length", b"12"),
            (b"Accept", b"a/b"),
            (b"accept", b"c/d"),
        ]
    ) == {"host": "api.example.com", "user-agent": "curl/8", "content-length": "12", "accept": "a/b, c/d"}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"Bearer abc", "Bearer [redacted]"),
        (b"bearer abc", "Bearer [redacted]"),
        (b"Basic abc", "Basic [redacted]"),
        (b"AWS4-HMAC-SHA256 Credential=x", "AWS4-HMAC-SHA256 [redacted]"),
        (b"hunter2 abc", "[redacted]"),
        (b"hunter2", "[redacted]"),
        (b"", "[redacted]"),
    ],
)
def test_of_a_credential_only_a_known_scheme_is_kept(value: bytes, kept: str) -> None:
    assert redact_headers([(b"authorization", value)]) == {"authorization": kept}
    assert redact_headers([(b"Proxy-Authorization", value)]) == {"proxy-authorization": kept}


def test_keys_and_cookies_are_never_kept() -> None:
    assert redact_headers([(b"x-api-key", b"abc"), (b"cookie", b"a=b")]) == {
        "x-api-key": "[redacted]",
        "cookie": "[redacted]",
    }


def test_kept_values_are_redacted_and_cut() -> None:
    assert redact_headers([(b"user-agent", b"me 4111111111111111")]) == {"user-agent": "me 411111******1111"}
    assert redact_headers([(b"host", b"\xff")]) == {"host": "ÿ"}
    long = redact_headers([(b"accept", b"a" * 1015 + b" 4111111111111111" + b"b" * 9000)])["accept"]
    assert len(long) == 1024
    assert "4111111" not in long
