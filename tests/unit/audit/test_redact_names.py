"""Names: which of them say that their value is a secret."""

from __future__ import annotations

import pytest

from hatchpay.audit.redact.names import kind_of

REMOVED = """
cvv CVC cvv2 cvc2 cid csc security_code securityCode card_verification cardVerificationValue pin PIN
pin_block pinBlock cardPin track track1 track2 track_data trackData magstripe cardCvv card-cvc
card[cvv] new_pin cvv_code track2Data
"""
REDACTED = """
password Password passwd pwd userPwd passphrase secret client_secret clientSecret token access_token
accessToken cc_token fooPassword refresh-token api_key apiKey API-KEY apikey authorization
Authorization credential credentials private_key privateKey signature x-signature session_id
sessionId cookie set-cookie account_number accountNumber IBAN debtor_iban user[password] otp
secret_id jwt
"""
CARD = """
card_number cardNumber pan PAN cc_number ccnumber card.number primary_account_number card[number]
cardPan
"""
HARMLESS = """
token_type tokenType next_cursor idempotency_key payment_orchestrator_id role_ids description pinned
company spanish shipping expansion spinning panel span_id id amount currency nip secretary_name
email public_key authorization_status authorized_amount access_token_expires_in opinion compass
tracking_number track_id last4 card_last4 name status credential_id key tokenized
"""


@pytest.mark.parametrize("name", REMOVED.split())
def test_nothing_may_be_kept_under(name: str) -> None:
    assert kind_of(name) == "removed"


@pytest.mark.parametrize("name", REDACTED.split())
def test_the_value_is_replaced_under(name: str) -> None:
    assert kind_of(name) == "redacted"


@pytest.mark.parametrize("name", CARD.split())
def test_a_card_is_masked_under(name: str) -> None:
    assert kind_of(name) == "card"


@pytest.mark.parametrize("name", HARMLESS.split())
def test_nothing_is_said_by(name: str) -> None:
    assert kind_of(name) is None


@pytest.mark.parametrize("name", ["%63vv", "c%2576v", "\\u0063vv", "ｃｖｖ", "c\u200bvv", "x" * 300 + "_cvv"])
def test_an_encoded_name_counts_too(name: str) -> None:
    assert kind_of(name) == "removed"


@pytest.mark.parametrize("name", [*REMOVED.split(), *REDACTED.split(), *CARD.split()])
def test_words_before_a_secret_name_do_not_make_it_harmless(name: str) -> None:
    assert kind_of(f"it expires with my {name}") is not None
