"""From a request's head to a verdict: who it was, what was decided, what the caller is told."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest

from hatchpay.access.decision import Decision
from hatchpay.access.routes import BodyField, Route, RouteTable, UnitSource
from hatchpay.access.rules import Asked, FieldValue, Rules, UnitEntry
from hatchpay.errors import HatchPayError, MalformedRequest, Unavailable
from hatchpay.gate.addresses import Proxies
from hatchpay.gate.admission import Admission, Verdict
from hatchpay.gate.request import RequestHead
from hatchpay.identity.authenticator import ApiKeyAuthenticator, Authenticated, Invalid, NotMine, Outcome
from hatchpay.identity.ports import KeyEntry, KeyState, SecretEntry, Snapshot
from hatchpay.identity.principal import Limits, Principal
from hatchpay.tokens.apikey import ApiKey, issue
from hatchpay.tokens.digest import Peppers

NOW = 1_790_000_000_000_000
PEPPER = b"\x01" * 32
READ = "shop.orders.read"
UNIT = "017f22e2-79b0-7cc3-98c4-dc0c0c073911"
OTHER_UNIT = "017f22e2-79b0-7cc3-98c4-dc0c0c073922"
ARCHIVED = "017f22e2-79b0-7cc3-98c4-dc0c0c073933"
FOREIGN = "017f22e2-79b0-7cc3-98c4-dc0c0c073944"
PROXY, CLIENT = "10.0.0.1", "203.0.113.9"


def _key(number: int) -> ApiKey:
    return issue(f"017f22e2-79b0-7cc3-98c4-dc0c0c0739{number:02x}", "live", random.Random(number).randrange)


READER, STRANGER, UNKNOWN, DELETED, EXPIRED, AT_HOME, OF_UNIT, BARE, IN_UNIT = map(_key, range(9))


UNLIMITED = Limits()


def _entry(key: ApiKey, limits: Limits = UNLIMITED, state: KeyState = "enabled", *grants: str) -> KeyEntry:
    principal = Principal(
        key.id,
        "api_key",
        "tenant",
        key.id,
        ("reader",),
        dict.fromkeys(grants or ("shop.orders.read",), "role:reader"),
        limits,
    )
    digest = hmac.new(PEPPER, key.text.encode(), hashlib.sha256).digest()
    return KeyEntry(principal, state, (SecretEntry(3, digest, 1, None),))


def _in_unit(key: ApiKey) -> KeyEntry:
    """A key of the whole tenant that is a reader in UNIT only."""
    entry = _entry(key)
    principal = msgspec.structs.replace(entry.principal, grants={}, scoped={READ: {UNIT: "role:reader"}})
    return msgspec.structs.replace(entry, principal=principal)


ENTRIES = {
    key.locator: entry
    for key, entry in (
        (READER, _entry(READER)),
        (DELETED, _entry(DELETED, state="deleted")),
        (EXPIRED, _entry(EXPIRED, Limits(expires_at_us=NOW))),
        (AT_HOME, _entry(AT_HOME, Limits(networks=(ip_network("203.0.113.0/24"),)))),
        (OF_UNIT, _entry(OF_UNIT, Limits(business_unit_ids=frozenset({UNIT})))),
        (BARE, _entry(BARE, Limits(), "enabled", "shop.other.read")),
        (IN_UNIT, _in_unit(IN_UNIT)),
    )
}
RULES = Rules(
    units={
        "tenant": {
            UNIT: UnitEntry(UNIT, "UTC"),
            OTHER_UNIT: UnitEntry(OTHER_UNIT, "UTC"),
            ARCHIVED: UnitEntry(ARCHIVED, "UTC", True),
        },
        "other tenant": {FOREIGN: UnitEntry(FOREIGN, "UTC")},
    }
)
SNAPSHOT = Snapshot(1, ENTRIES, Peppers(1, {1: PEPPER}))
ROUTES = RouteTable(
    [
        Route(method="GET", template="/orders", permission=READ, unit=(UnitSource("handler"),)),
        Route(method="GET", template="/report", permission=READ),
        Route(method="GET", template="/units/{unit}", permission=READ, unit=(UnitSource("path", "unit"),)),
        Route(
            method="PUT",
            template="/units/{unit}",
            permission=READ,
            unit=(UnitSource("path", "unit"), UnitSource("body", "unit")),
        ),
        Route(method="POST", template="/fields", permission=READ, fields=(BodyField("amount", "decimal", "/amount"),)),
        Route(method="GET", template="/search", permission=READ, unit=(UnitSource("query", "unit"),)),
        Route(method="POST", template="/orders", permission=READ, unit=(UnitSource("body", "unit"),)),
        Route(method="GET", template="/status", access="open"),
        Route(method="POST", template="/token", access="self_authenticating"),
    ]
)


def admission(**options: Any) -> Admission:
    authenticator = ApiKeyAuthenticator(lambda: SNAPSHOT, lambda: NOW, lambda *_: None)
    options = {"rules": lambda: RULES, **options}
    return Admission([authenticator], ROUTES, Proxies((ip_network("10.0.0.0/8"),)), **options)


def head(path: str = "/orders", key: ApiKey | None = None, *headers: tuple[bytes, bytes], **scope: Any) -> RequestHead:
    credential = [(b"x-api-key", key.text.encode())] if key is not None else []
    return RequestHead(
        {
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "client": (CLIENT, 1),
            "headers": [*credential, *headers],
            **scope,
        }
    )


def judge(*arguments: Any, **scope: Any) -> Verdict:
    return admission().judge(head(*arguments, **scope))


def told(verdict: Verdict) -> tuple[int, str]:
    """What the caller is told; the record's reason is `verdict.decision.reason`."""
    assert verdict.refusal is not None
    assert verdict.decision.outcome == "deny"
    return verdict.refusal.status, verdict.refusal.code


def test_nothing_is_allowed_before_it_was_judged() -> None:
    assert Verdict().decision.outcome == "deny"


def test_a_key_with_the_permission_is_let_in_by_the_rule_that_grants_it() -> None:
    verdict = judge("/orders", READER)
    assert verdict.refusal is None
    assert verdict.principal == ENTRIES[READER.locator].principal
    assert (verdict.decision.outcome, verdict.decision.reason, verdict.decision.rule) == (
        "allow",
        "role_grants",
        "role:reader",
    )
    assert (verdict.secret_version, verdict.claimed, verdict.client_ip) == (3, None, CLIENT)


def test_a_bearer_token_counts_as_well() -> None:
    verdict = judge("/orders", None, (b"authorization", b"Bearer " + READER.text.encode()))
    assert verdict.refusal is None


def test_head_is_judged_as_its_get() -> None:
    assert judge("/orders", READER, method="HEAD").refusal is None


def test_a_missing_permission_is_named_to_the_caller_and_in_the_decision() -> None:
    verdict = judge("/orders", BARE)
    assert told(verdict) == (403, "permission_missing")
    assert verdict.refusal is not None
    assert verdict.refusal.permission == verdict.decision.missing == READ
    assert READ in verdict.refusal.detail
    assert verdict.principal is not None


@pytest.mark.parametrize(
    ("path", "scope"),
    [("/nothing", {}), ("/orders/7", {}), ("/orders", {"method": "DELETE"}), ("/orders", {"method": "BREW"})],
)
def test_an_unlisted_route_is_denied_even_to_a_known_key(path: str, scope: dict[str, Any]) -> None:
    assert told(judge(path, READER, **scope)) == (403, "route_not_listed")


@pytest.mark.parametrize("path", ["/orders", "/nothing"])
def test_nobody_is_asked_for_a_key_whether_or_not_the_route_is_listed(path: str) -> None:
    verdict = judge(path)
    assert told(verdict) == (401, "credential_missing")
    assert (verdict.principal, verdict.claimed) == (None, None)


@pytest.mark.parametrize(
    ("key", "code", "reason"),
    [
        (UNKNOWN, "credential_invalid", "key_unknown"),
        (DELETED, "credential_invalid", "key_deleted"),
        (EXPIRED, "credential_expired", "key_expired"),
    ],
)
def test_a_key_that_is_no_good_is_refused_and_the_reason_is_for_the_record(key: ApiKey, code: str, reason: str) -> None:
    verdict = judge("/orders", key)
    assert told(verdict) == (401, code)
    assert verdict.decision.reason == reason
    assert verdict.principal is None
    known = ENTRIES.get(key.locator)
    assert verdict.claimed == (known.principal if known else None)


def test_a_mistyped_key_is_told_so() -> None:
    verdict = judge("/orders", None, (b"x-api-key", READER.text[:-1].encode() + b"_"))
    assert told(verdict) == (401, "credential_malformed")
    assert verdict.claimed == ENTRIES[READER.locator].principal


@pytest.mark.parametrize(
    "header",
    [(b"authorization", b"Basic eDp5"), (b"authorization", b"Bearer eyJ"), (b"x-api-key", b""), (b"x-api-key", b"x")],
)
def test_a_credential_that_nobody_knows_is_not_a_missing_one(header: tuple[bytes, bytes]) -> None:
    verdict = judge("/orders", None, header)
    assert told(verdict) == (401, "credential_invalid")
    assert verdict.decision.reason == "credential_unknown"


def test_an_invalid_key_learns_nothing_of_the_routes() -> None:
    assert told(judge("/nothing", UNKNOWN)) == told(judge("/orders", UNKNOWN))


def test_what_the_caller_is_told_never_holds_the_key() -> None:
    for key in (UNKNOWN, DELETED, EXPIRED, BARE):
        refusal = judge("/orders", key).refusal
        assert refusal is not None
        assert key.text[30:] not in f"{refusal!r} {refusal.detail}"


class TestOpenRoutes:
    def test_they_need_nobody(self) -> None:
        verdict = judge("/status")
        assert (verdict.refusal, verdict.decision.rule, verdict.principal) == (None, "route:open", None)

    def test_a_key_that_is_good_is_still_recognised(self) -> None:
        assert judge("/status", BARE).principal == ENTRIES[BARE.locator].principal

    @pytest.mark.parametrize("key", [UNKNOWN, DELETED, EXPIRED])
    def test_a_key_that_is_no_good_neither_closes_them_nor_counts(self, key: ApiKey) -> None:
        verdict = judge("/status", key)
        assert (verdict.refusal, verdict.principal, verdict.decision.outcome) == (None, None, "allow")

    def test_two_credentials_are_refused_even_there(self) -> None:
        verdict = judge("/status", READER, (b"authorization", b"Bearer x"))
        assert told(verdict) == (400, "multiple_credentials")

    def test_a_path_that_is_not_canonical_is_refused_even_there(self) -> None:
        assert told(judge("/x/../status"))[1] == "path_not_canonical"

    def test_a_network_limit_does_not_close_them(self) -> None:
        assert judge("/status", AT_HOME, client=("198.51.100.1", 1)).refusal is None

    def test_self_authenticating_ones_keep_to_a_network_limit(self) -> None:
        assert judge("/token", method="POST").refusal is None
        assert told(judge("/token", AT_HOME, method="POST", client=("198.51.100.1", 1))) == (403, "network_not_allowed")


class TestBeforeAnybodyIsAsked:
    """Refused before routing and authentication, but attributed to the key that is named."""

    @pytest.mark.parametrize(
        ("headers", "scope", "code", "status"),
        [
            ([], {"raw_path": b"/orders//"}, "path_not_canonical", 400),
            ([], {"raw_path": b""}, "raw_path_missing", 400),
            ([(b"x", b"v" * 70_000)], {}, "headers_too_large", 431),
            ([(b"content-length", b"16777217")], {}, "body_too_large", 413),
            ([(b"upgrade", b"websocket")], {}, "websocket_not_allowed", 403),
            ([(b"x-api-key", b"x")], {}, "duplicate_header", 400),
            ([(b"authorization", b"x")], {}, "multiple_credentials", 400),
            ([], {"query_string": b"api_key=x"}, "credential_in_query", 400),
        ],
    )
    def test_it_is_refused(
        self, headers: list[tuple[bytes, bytes]], scope: dict[str, Any], code: str, status: int
    ) -> None:
        verdict = judge("/orders", READER, *headers, **scope)
        assert told(verdict) == (status, code)
        assert verdict.decision.reason == code
        assert verdict.principal is None
        assert verdict.match is None
        assert verdict.claimed == ENTRIES[READER.locator].principal
        assert verdict.client_ip == CLIENT

    def test_a_key_in_the_query_is_attributed_to_its_owner_even_when_it_is_encoded(self) -> None:
        for text in (READER.text, READER.text.replace("_", "%5F"), READER.text.replace("_", "%255f")):
            verdict = judge("/orders", query_string=b"k=" + text.encode())
            assert told(verdict) == (400, "credential_in_query")
            assert verdict.claimed == ENTRIES[READER.locator].principal

    @pytest.mark.parametrize("key", [None, UNKNOWN])
    def test_what_names_no_existing_key_is_attributed_to_nobody(self, key: ApiKey | None) -> None:
        assert judge("/orders", key, raw_path=b"//").claimed is None

    def test_a_refusal_that_is_sure_already_is_only_attributed(self) -> None:
        sure = Unavailable("shutting down", code="shutting_down")
        verdict = admission().judge(head("/orders", READER), sure)
        assert verdict.refusal is sure
        assert (verdict.decision.outcome, verdict.decision.reason) == ("deny", "shutting_down")
        assert (verdict.principal, verdict.claimed) == (None, ENTRIES[READER.locator].principal)


class TestAddresses:
    def test_a_key_of_chosen_networks_works_from_there_and_from_nowhere_else(self) -> None:
        assert judge("/orders", AT_HOME).refusal is None
        assert judge("/orders", AT_HOME, client=("::ffff:203.0.113.9", 1)).refusal is None
        for client in (("198.51.100.1", 1), ("2001:db8::1", 1), None):
            verdict = judge("/orders", AT_HOME, client=client)
            assert told(verdict) == (403, "network_not_allowed")
            assert verdict.principal is not None

    def test_behind_a_declared_proxy_the_forwarded_address_counts(self) -> None:
        through = (b"x-forwarded-for", CLIENT.encode())
        assert judge("/orders", AT_HOME, through, client=(PROXY, 1)).client_ip == CLIENT
        assert judge("/orders", AT_HOME, through, client=(PROXY, 1)).refusal is None
        assert told(judge("/orders", AT_HOME, client=(PROXY, 1))) == (403, "network_not_allowed")

    def test_a_forwarded_address_from_anybody_else_counts_for_nothing(self) -> None:
        verdict = judge("/orders", AT_HOME, (b"x-forwarded-for", CLIENT.encode()), client=("198.51.100.1", 1))
        assert told(verdict) == (403, "network_not_allowed")
        assert verdict.client_ip == "198.51.100.1"

    def test_a_permission_is_missed_before_the_network_is_looked_at(self) -> None:
        assert told(judge("/nothing", AT_HOME, client=("198.51.100.1", 1)))[1] == "route_not_listed"

    def test_a_proxys_request_id_is_kept_and_a_clients_is_not(self) -> None:
        said = (b"x-request-id", b"abc-1")
        assert judge("/orders", READER, said, client=(PROXY, 1)).correlation_id == "abc-1"
        assert judge("/orders", READER, said).correlation_id is None

    def test_where_only_proxies_may_connect_everybody_else_is_refused(self) -> None:
        strict = admission(only_proxies=True)
        assert told(strict.judge(head("/orders", READER))) == (403, "insecure_transport")
        assert told(strict.judge(head("/status"))) == (403, "insecure_transport")
        assert strict.judge(head("/orders", READER, client=(PROXY, 1))).refusal is None


class TestBusinessUnits:
    @pytest.mark.parametrize(
        ("path", "query", "code"),
        [
            ("/orders", b"", None),
            ("/report", b"", "business_unit_not_separable"),
            (f"/units/{UNIT}", b"", None),
            (f"/units/{OTHER_UNIT}", b"", "business_unit_not_allowed"),
            ("/search", b"unit=" + UNIT.encode(), None),
            ("/search", b"unit=" + OTHER_UNIT.encode(), "business_unit_not_allowed"),
            ("/search", b"", "business_unit_missing"),
        ],
    )
    def test_a_key_of_chosen_units_keeps_to_them(self, path: str, query: bytes, code: str | None) -> None:
        verdict = judge(path, OF_UNIT, query_string=query)
        if code is None:
            assert verdict.refusal is None
        else:
            assert told(verdict) == (403, code)
            assert verdict.decision.reason == code

    @pytest.mark.parametrize("key", [OF_UNIT, READER])
    @pytest.mark.parametrize(
        ("path", "query"),
        [
            ("/units/x", b""),
            (f"/units/{UNIT.upper()}", b""),
            ("/search", f"unit={UNIT}&unit={OTHER_UNIT}".encode()),
            ("/search", f"unit={UNIT}&unit={UNIT}".encode()),
            ("/search", b"unit="),
        ],
    )
    def test_a_unit_that_is_not_named_clearly_is_refused_to_everybody(
        self, key: ApiKey, path: str, query: bytes
    ) -> None:
        verdict = judge(path, key, query_string=query)
        assert told(verdict) == (400, "business_unit_unclear")
        assert (verdict.decision.reason, verdict.unit) == ("business_unit_unclear", None)
        assert verdict.principal is not None

    @pytest.mark.parametrize("body", [b'{"unit": 7}', b"unit=x", b'{"unit": "x"}', b"{"])
    @pytest.mark.parametrize("key", [OF_UNIT, READER])
    def test_a_body_that_is_not_clear_is_refused_to_everybody(self, key: ApiKey, body: bytes) -> None:
        gate = admission()
        verdict = gate.judge(head("/orders", key, (b"content-length", b"9"), method="POST"))
        gate.judge_body(verdict, "application/json", body)
        assert told(verdict) == (400, "business_unit_unclear")

    def test_path_and_body_must_name_the_same_unit(self) -> None:
        gate = admission()
        for body, code in (
            (b'{"unit": "%s"}' % UNIT.encode(), None),
            (b"{}", None),
            (b'{"unit": null}', None),
            (b'{"unit": "%s"}' % OTHER_UNIT.encode(), "business_unit_unclear"),
        ):
            for key in (OF_UNIT, READER):
                verdict = gate.judge(head(f"/units/{UNIT}", key, (b"content-length", b"9"), method="PUT"))
                assert verdict.needs_body
                gate.judge_body(verdict, "application/json", body)
                assert (None if verdict.refusal is None else verdict.refusal.code) == code
                assert verdict.unit == (UNIT if code is None else None)

    @pytest.mark.parametrize(
        ("unit", "code"), [(ARCHIVED, "business_unit_archived"), (FOREIGN, "business_unit_unknown")]
    )
    def test_nobody_acts_for_a_unit_that_is_archived_or_none(self, unit: str, code: str) -> None:
        verdict = judge(f"/units/{unit}", READER)
        assert told(verdict) == (403, code)
        assert (verdict.decision.reason, verdict.unit) == (code, unit)
        assert told(judge(f"/units/{unit}", OF_UNIT)) == (403, "business_unit_not_allowed")

    def test_the_unit_of_any_callers_request_is_known_to_the_record(self) -> None:
        assert judge(f"/units/{UNIT}", READER).unit == UNIT
        assert judge("/search", READER, query_string=b"unit=" + UNIT.encode()).unit == UNIT
        assert judge("/report", READER).unit is None

    def test_a_unit_in_the_body_is_judged_once_the_body_was_read(self) -> None:
        gate = admission()
        for unit, code in ((UNIT, None), (OTHER_UNIT, "business_unit_not_allowed"), (None, "business_unit_missing")):
            verdict = gate.judge(head("/orders", OF_UNIT, (b"content-length", b"9"), method="POST"))
            assert verdict.refusal is None
            assert verdict.needs_body
            named = b"{}" if unit is None else b'{"unit": "%s"}' % unit.encode()
            gate.judge_body(verdict, "application/json", named)
            assert (None if verdict.refusal is None else verdict.refusal.code) == code

    def test_without_a_body_there_is_nothing_to_wait_for(self) -> None:
        assert told(judge("/orders", OF_UNIT, method="POST")) == (403, "business_unit_missing")
        assert judge("/orders", READER, method="POST").refusal is None

    def test_what_was_to_be_decided_by_the_body_is_still_so_when_the_rules_change_meanwhile(self) -> None:
        concerned = Rules(units=RULES.units, policies={"tenant": _Concerned()})
        rules = [concerned]
        gate = admission(rules=lambda: rules[-1])
        verdict = gate.judge(head("/fields", OF_UNIT, (b"content-length", b"9"), method="POST"))
        assert verdict.needs_body
        rules.append(RULES)
        assert verdict.needs_body
        gate.judge_body(verdict, "application/json", b"{}")
        assert told(verdict) == (403, "business_unit_not_separable")

    def test_a_policy_is_asked_with_the_fields_of_the_body(self) -> None:
        asked = _Concerned()
        gate = admission(rules=lambda: Rules(policies={"tenant": asked}))
        for body, fields in ((b'{"amount": 12.5}', {"amount": "12.50"}), (b'{"amount": "x"}', {}), (b"", {})):
            verdict = gate.judge(head("/fields", READER, (b"content-length", b"9"), method="POST"))
            gate.judge_body(verdict, "application/json", body)
            assert verdict.refusal is None
            assert asked.bodies[-1] == fields

    def test_a_body_with_fields_that_could_be_read_in_two_ways_is_refused(self) -> None:
        gate = admission(rules=lambda: Rules(policies={"tenant": _Concerned()}))
        verdict = gate.judge(head("/fields", READER, (b"content-length", b"9"), method="POST"))
        gate.judge_body(verdict, "application/json", b'{"amount": 1, "amount": 1000}')
        assert told(verdict) == (400, "body_unclear")

    def test_without_a_policy_no_field_is_looked_at(self) -> None:
        verdict = judge("/fields", READER, (b"content-length", b"9"), method="POST")
        assert (verdict.refusal, verdict.needs_body) == (None, False)

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("/report", "business_unit_not_separable"),
            ("/search", "business_unit_missing"),
            (f"/units/{OTHER_UNIT}", "business_unit_not_allowed"),
        ],
    )
    def test_a_role_for_chosen_units_reaches_nothing_else_and_the_caller_is_told_what_it_lacks(
        self, path: str, code: str
    ) -> None:
        verdict = judge(path, IN_UNIT)
        assert told(verdict) == (403, code)
        assert verdict.refusal is not None
        assert (verdict.decision.missing, verdict.refusal.permission) == (READ, READ)

    @pytest.mark.parametrize("path", [f"/units/{UNIT}", "/orders"])
    def test_a_role_for_chosen_units_lets_in_and_the_handler_sees_those_only(self, path: str) -> None:
        verdict = judge(path, IN_UNIT)
        assert verdict.refusal is None
        assert verdict.decision.rule == "role:reader"
        assert verdict.principal is not None
        assert verdict.principal.business_unit_ids == {UNIT}
        assert ENTRIES[IN_UNIT.locator].principal.business_unit_ids is None

    def test_an_unrestricted_key_need_not_name_one(self) -> None:
        for path in ("/report", "/search", "/orders"):
            assert judge(path, READER).refusal is None


class _Concerned:
    """Policies that forbid nothing, and keep what they were asked."""

    def __init__(self) -> None:
        self.bodies: list[Mapping[str, FieldValue]] = []

    def concern(self, permission: str) -> bool:
        return True

    def judge(self, asked: Asked) -> Decision | None:
        self.bodies.append(asked.body)
        return None


class _Scheme:
    """An authenticator that always answers the same."""

    bearer_only = False

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.asked: list[str] = []

    def authenticate(self, credential: str) -> Outcome:
        self.asked.append(credential)
        return self.outcome

    def claimed(self, text: str) -> Principal | None:
        return self.outcome.claimed if isinstance(self.outcome, Invalid) else None


class TestSeveralSchemes:
    SOMEBODY = Authenticated(ENTRIES[READER.locator].principal, 1)

    def judge(self, *outcomes: Outcome) -> tuple[Verdict, list[_Scheme]]:
        schemes = [_Scheme(outcome) for outcome in outcomes]
        gate = Admission(schemes, ROUTES, Proxies(()))
        return gate.judge(head("/orders", None, (b"x-api-key", b"x"))), schemes

    def test_the_first_that_knows_the_credential_decides(self) -> None:
        verdict, schemes = self.judge(NotMine(), self.SOMEBODY, Invalid("late"))
        assert verdict.principal == self.SOMEBODY.principal
        assert [len(scheme.asked) for scheme in schemes] == [1, 1, 0]

    def test_a_refusal_by_its_own_scheme_is_final(self) -> None:
        verdict, schemes = self.judge(Invalid("revoked"), self.SOMEBODY)
        assert told(verdict) == (401, "credential_invalid")
        assert verdict.decision.reason == "revoked"
        assert schemes[1].asked == []

    @pytest.mark.parametrize("outcomes", [[], [NotMine()], [NotMine(), NotMine()]])
    def test_what_no_scheme_knows_is_refused(self, outcomes: list[Outcome]) -> None:
        verdict, _ = self.judge(*outcomes)
        assert (told(verdict)[0], verdict.decision.reason) == (401, "credential_unknown")


def test_every_refusal_is_one_of_ours() -> None:
    for error in (MalformedRequest("x"), Unavailable("x")):
        verdict = admission().judge(head(), error)
        assert isinstance(verdict.refusal, HatchPayError)


@pytest.mark.parametrize(
    ("denial", "field"),
    [
        (Decision("deny", "policy_forbids", "policy:Closed"), None),
        (Decision("deny", "policy_error", "policy:Closed"), None),
        (Decision("deny", "policy_input_missing", "policy:Closed", "body.amount"), "body.amount"),
    ],
)
def test_what_a_policy_denies_is_told_with_its_reason_and_the_field_that_it_lacks(
    denial: Decision, field: str | None
) -> None:
    class _Policies:
        def concern(self, permission: str) -> bool:
            return permission == READ

        def judge(self, asked: Asked) -> Decision | None:
            assert (asked.client_ip, asked.now_us, asked.principal.id) == (CLIENT, NOW, READER.id)
            return denial

    gate = admission(rules=lambda: Rules(policies={"tenant": _Policies()}), clock=lambda: NOW)
    verdict = gate.judge(head("/orders", READER))

    assert told(verdict) == (403, denial.reason)
    assert verdict.decision == denial
    assert verdict.refusal is not None
    assert (verdict.refusal.field, verdict.refusal.permission) == (field, None)
