"""A record file opens the leaf that stands for it, and no other record does."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rfc8785
from tests.support.sealed import SealedLog, record

from hatchpay.errors import InvalidProof
from hatchpay.ledger.commitment import commit
from hatchpay.ledger.opening import MAX_RECORD_FILE_BYTES, Opened, open_leaf
from hatchpay.ledger.receipt import parse_receipt

PARTS = ("body", "body_hmac", "client_ip", "correlation_id", "headers", "principal_id", "url")
PLAIN = (
    *("audit_us", "auth_us", "body_size", "business_unit_id", "claimed_key_id"),
    *("decision", "handler_us", "issuer_id", "key_id", "method"),
    *("missing", "permission", "principal_id", "reason", "request_id"),
    *("response_size", "response_time_us", "roles", "route", "rule"),
    *("secret_version", "started_at", "state", "status", "tenant_id"),
    *("token_id",),
)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedLog]:
    made = SealedLog(tmp_path_factory.mktemp("log"))
    plain = record(2, headers={}, body=None, body_digest=None, client_ip=None, correlation_id=None, principal_id=None)
    made.add(record(0), record(1), plain, record(3, method="M" * 300, token_id="t" * 300))
    made.seal()
    yield made
    made.close()


def leaf(log: SealedLog, number: int) -> bytes:
    return parse_receipt(log.receipt(number)).leaf


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidProof) as caught:
        call()
    return caught.value.code


def changed(log: SealedLog, change: Callable[[dict[str, Any]], object]) -> str:
    file = json.loads(log.record_file(0))
    change(file)
    return refused(lambda: open_leaf(leaf(log, 0), json.dumps(file).encode()))


def test_a_record_opens_its_leaf(log: SealedLog) -> None:
    opened = open_leaf(leaf(log, 0), log.record_file(0))
    assert opened == Opened(record(0).request_id, PARTS, (), ("changes", "payload"))


def test_a_record_with_few_parts_opens_its_leaf(log: SealedLog) -> None:
    assert open_leaf(leaf(log, 2), log.record_file(2)).shown == ("url",)


def test_long_texts_are_parts_as_well(log: SealedLog) -> None:
    assert open_leaf(leaf(log, 3), log.record_file(3)).shown == tuple(sorted((*PARTS, "method", "token_id")))


def test_the_order_and_the_spaces_of_the_file_do_not_matter(log: SealedLog) -> None:
    pretty = json.dumps(json.loads(log.record_file(0)), indent=3, sort_keys=True).encode()
    assert open_leaf(leaf(log, 0), pretty).shown == PARTS


def test_a_part_that_is_kept_back_is_reported(log: SealedLog) -> None:
    file = json.loads(log.record_file(0))
    for name, blank in {"url": "", "headers": {}, "client_ip": None, "body": None}.items():
        del file["openings"][name]
        file["record"][name] = blank
    opened = open_leaf(leaf(log, 0), json.dumps(file).encode())
    assert opened.shown == ("body_hmac", "correlation_id", "principal_id")
    assert opened.withheld == ("body", "client_ip", "headers", "url")


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_shown_must_be_opened(log: SealedLog, name: str) -> None:
    code = changed(log, lambda file: file["openings"].pop(name))
    assert code == ("record_differs" if name == "principal_id" else "part_not_opened")


@pytest.mark.parametrize("name", PLAIN)
def test_every_plain_member_counts(log: SealedLog, name: str) -> None:
    values: list[object] = ["other", 7, True, [], {}, 1.5]
    codes = {changed(log, lambda file, value=value: file["record"].update({name: value})) for value in values}
    assert codes == {"record_differs"}
    assert changed(log, lambda file: file["record"].pop(name)) == "record_malformed"


def test_no_member_of_a_leaf_is_left_out(log: SealedLog) -> None:
    assert json.loads(leaf(log, 0)).keys() == {*PLAIN, "commitments", "type", "v"}


@pytest.mark.parametrize("name", PARTS)
def test_every_part_counts(log: SealedLog, name: str) -> None:
    salt = base64.b64encode(bytes(32)).decode()
    assert changed(log, lambda file: file["record"].update({name: "other"})) == "record_differs"
    assert changed(log, lambda file: file["openings"][name].update(value="other")) == "opening_wrong"
    assert changed(log, lambda file: file["openings"][name].update(salt=salt)) == "opening_wrong"
    assert changed(log, lambda file: file["record"].pop(name)) == "record_malformed"


@pytest.mark.parametrize("other", [b"10.50", b"10.51", b'"10.5"', b'1, "amount": 10.5', b"1.05e1"])
def test_a_body_is_compared_as_it_is_spelled(log: SealedLog, other: bytes) -> None:
    file = log.record_file(0)
    assert b'"amount": 10.5,' in file
    other = file.replace(b'"amount": 10.5,', b'"amount": ' + other + b",", 1)
    assert refused(lambda: open_leaf(leaf(log, 0), other)) == "record_differs"


def test_the_file_of_another_record_is_refused(log: SealedLog) -> None:
    assert refused(lambda: open_leaf(leaf(log, 1), log.record_file(0))) == "opening_wrong"


@pytest.mark.parametrize(
    "opening",
    [
        None,
        {},
        [],
        {"salt": "AAAA", "value": "x"},
        {"salt": "A" * 43 + "=", "value": 7},
        {"salt": "A" * 43 + "=", "value": None},
        {"salt": "A" * 43 + "=", "value": ["x"]},
        {"salt": "A" * 43 + "=", "value": {"a": 1}},
        {"salt": "A" * 43 + "=", "value": {"a": {}}},
        {"salt": 7, "value": "x"},
        {"salt": "A" * 43 + "=", "value": "x", "more": "y"},
    ],
)
def test_an_opening_is_a_salt_and_a_string_or_an_object_of_strings(log: SealedLog, opening: object) -> None:
    assert changed(log, lambda file: file["openings"].update(url=opening)) == "opening_malformed"


def test_an_opening_of_what_the_leaf_does_not_commit_to_is_refused(log: SealedLog) -> None:
    opening = {"salt": "A" * 43 + "=", "value": "x"}
    assert changed(log, lambda file: file["openings"].update(status=opening)) == "opening_malformed"
    assert changed(log, lambda file: file["openings"].update(token_id=opening)) == "opening_wrong"


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"record": {}}',
        b'{"record": {}, "openings": {}}',
        b'{"record": {}, "record": {}, "openings": {}}',
        b'{"record": [], "openings": {}}',
        b"\xff",
        b"[" * 100_000,
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b" " * (MAX_RECORD_FILE_BYTES + 1),
    ],
    ids=range(13),
)
def test_what_is_not_a_record_file_is_refused(log: SealedLog, file: bytes) -> None:
    assert refused(lambda: open_leaf(leaf(log, 0), file)) == "record_malformed"


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"request"', b'"change"'), (b'"v":1', b'"v":2'), (b'"v":1', b'"v":1,"w":1'), (b'"v":1', b'"v":"1"')],
)
def test_a_leaf_of_another_kind_is_not_opened(log: SealedLog, old: bytes, new: bytes) -> None:
    other = leaf(log, 0).replace(old, new)
    assert refused(lambda: open_leaf(other, log.record_file(0))) == "leaf_not_a_request"


@pytest.mark.parametrize(
    "value",
    ["", '\x00\x1f\b\t\n\f\r"\\/\x7f', "é\u2028\U0001f600", {"\U0001f600": "a", "\ufb33": "b", "1": "", "\r": "x"}],
)
def test_values_are_encoded_as_another_implementation_of_rfc_8785_does(log: SealedLog, value: Any) -> None:
    name = "headers" if isinstance(value, dict) else "url"
    digest = commit(name, bytes(32), rfc8785.dumps(value))
    committed = json.loads(leaf(log, 0))
    committed["commitments"][name] = base64.b64encode(digest).decode()
    file = json.loads(log.record_file(0))
    file["openings"][name] = {"salt": base64.b64encode(bytes(32)).decode(), "value": value}
    file["record"][name] = value
    assert name in open_leaf(json.dumps(committed).encode(), json.dumps(file).encode()).shown
