"""From a request's head to a verdict: who is calling, may they, and if not, the refusal. No I/O, nothing awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

import msgspec

from hatchpay.access.decision import Decision
from hatchpay.access.engine import conclude, decide, decide_network, granted, needs_body, needs_fields
from hatchpay.access.routes import Match, RouteTable
from hatchpay.access.rules import NO_RULES, FieldValue, Rules
from hatchpay.clock import Clock, wall_us
from hatchpay.errors import Forbidden, HatchPayError, MalformedRequest, Unauthenticated, Unavailable
from hatchpay.gate.addresses import Proxies
from hatchpay.gate.allowance import BUSY, PAUSES_S, Header, Meter
from hatchpay.gate.fields import fields_in_body
from hatchpay.gate.request import RequestHead
from hatchpay.gate.units import unit_in_body, unit_in_head
from hatchpay.identity.authenticator import Authenticated, Authenticator, Invalid, Unsettled
from hatchpay.identity.credential import extract, refuse_in_query
from hatchpay.identity.principal import Principal

__all__ = ["Admission", "Verdict"]

_DETAILS: Final = {
    "credential_missing": "send an API key in the X-API-Key header, or a token as Authorization: Bearer",
    "credential_malformed": "the API key is mistyped or cut off",
    "credential_expired": "the credential has expired",
    "credential_invalid": "the credential is not valid",
    "invalid_token": "the token is not valid",
    "route_not_listed": "this method and path are not listed, so nobody may call them",
    "network_not_allowed": "the key may not be used from this address",
    "business_unit_not_separable": "a key of chosen business units may not call what concerns the whole tenant",
    "business_unit_missing": "the request must say which business unit it concerns",
    "business_unit_not_allowed": "the key may not act for this business unit",
    "policy_forbids": "a policy of the tenant forbids it",
    "policy_input_missing": "a policy needs a field of the body that is missing, or of another type",
    "policy_error": "a policy of the tenant could not be evaluated, so that nobody can say whether it forbids this",
    "business_unit_unknown": "the tenant has no such business unit",
    "business_unit_archived": "the business unit is archived",
}
_UNDECIDED: Final = Decision("deny", "malformed_request")


class Verdict(msgspec.Struct, gc=False):
    """Filled while a request is admitted; what stands in it at any moment is what the record will say.

    `principal` is the caller; once all is decided, as the handler is to see it. While `needs_body`, what is allowed so
    far is not decided yet.
    """

    client_ip: str | None = None
    correlation_id: str | None = None
    principal: Principal | None = None
    claimed: Principal | None = None
    secret_version: int | None = None
    match: Match | None = None
    unit: str | None = None
    needs_body: bool = False
    decision: Decision = _UNDECIDED
    refusal: HatchPayError | None = None
    wait: Callable[[], Awaitable[None]] | None = None
    uncounted: bool = False
    allowance: tuple[Header, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether there is something to wait for: `settle` has the last word."""
        return self.uncounted or self.wait is not None

    def identify(self, outcome: Authenticated | Invalid) -> None:
        if isinstance(outcome, Authenticated):
            self.principal = outcome.principal
            self.secret_version = outcome.secret_version
        else:
            self.claimed = outcome.claimed

    def deny(self, decision: Decision, refusal: HatchPayError) -> None:
        self.decision = decision
        self.refusal = refusal


class Admission:
    """Stateless but for what it is given. `only_proxies` refuses every peer that is no declared proxy; while
    `is_current` is False, what asks for a permission or a credential is refused, since it may have been revoked.
    `meter` counts whoever has a limited rate.
    """

    def __init__(
        self,
        authenticators: Sequence[Authenticator],
        routes: RouteTable,
        proxies: Proxies,
        *,
        only_proxies: bool = False,
        is_current: Callable[[], bool] = lambda: True,
        rules: Callable[[], Rules] = lambda: NO_RULES,
        clock: Clock = wall_us,
        meter: Meter | None = None,
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._of_keys = tuple(one for one in authenticators if not one.bearer_only)
        self._routes = routes
        self._proxies = proxies
        self._only_proxies = only_proxies
        self._is_current = is_current
        self._rules = rules
        self._clock = clock
        self._meter = meter or Meter()

    def judge(self, head: RequestHead, refusal: HatchPayError | None = None) -> Verdict:
        """Everything that can be decided without the body. A `refusal` that is sure already is only attributed."""
        verdict = Verdict(self._proxies.client(head.peer, head.values(b"x-forwarded-for")))
        if b"x-request-id" in head.watched:
            verdict.correlation_id = self._proxies.correlation(head.peer, head.values(b"x-request-id"))
        try:
            if refusal is not None:
                raise refusal
            head.check()
            if self._only_proxies and not self._proxies.trust(head.peer):
                raise MalformedRequest("only the declared proxies may connect", code="insecure_transport", status=403)
            if head.query:
                refuse_in_query(head.query)
            credential = extract(head.values(b"x-api-key"), head.values(b"authorization"))
        except HatchPayError as error:
            verdict.deny(Decision("deny", error.code), error)
            verdict.claimed = self._claimed(head)
            return verdict
        self._admit(head, credential, verdict)
        return verdict

    async def settle(self, head: RequestHead, verdict: Verdict) -> None:
        """Waits for what an authenticator has asked for, and then until the request can be counted, and judges once
        more, finally.
        """
        if verdict.wait is not None:
            await verdict.wait()
            self._admit_again(head, verdict)
            verdict.wait = None
        for pause_s in PAUSES_S:
            if not verdict.uncounted:
                break
            await asyncio.sleep(pause_s)
            self._admit_again(head, verdict, last=pause_s == PAUSES_S[-1])
            verdict.wait = None

    def judge_again(self, head: RequestHead, verdict: Verdict) -> None:
        """Of a request that was let through so far, and whose body has taken its time. It was counted already."""
        self._admit_again(head, verdict, counted=True)
        verdict.wait = None

    def _admit_again(self, head: RequestHead, verdict: Verdict, *, last: bool = False, counted: bool = False) -> None:
        """As if nothing were known yet: what was good a while ago may have ended."""
        verdict.refusal = verdict.claimed = verdict.principal = verdict.secret_version = None
        verdict.uncounted = False
        credential = extract(head.values(b"x-api-key"), head.values(b"authorization"))
        self._admit(head, credential, verdict, last=last, counted=counted)

    def _admit(
        self, head: RequestHead, credential: str | None, verdict: Verdict, *, last: bool = False, counted: bool = False
    ) -> None:
        verdict.match = self._routes.match(head.method, head.path)
        if credential is not None:
            knowing = self._of_keys if b"x-api-key" in head.watched else self._authenticators
            if not self._authenticate(credential, knowing, verdict):
                return
            principal = verdict.principal
            if principal is not None and principal.buckets and not counted and not self._count(verdict, last):
                return
        self._decide(verdict)
        if verdict.refusal is None and verdict.match is not None:
            try:
                verdict.unit = unit_in_head(verdict.match, head.query)
            except MalformedRequest as unclear:
                verdict.deny(Decision("deny", unclear.code), unclear)
                return
            rules = self._rules()
            verdict.needs_body = head.has_body and needs_body(rules, verdict.principal, verdict.match)
            if not verdict.needs_body:
                self._conclude(rules, verdict, {})

    def judge_body(self, verdict: Verdict, content_type: str, body: bytes) -> None:
        """Once all of the body is here that `verdict` needs."""
        if verdict.match is None:
            return
        rules, route = self._rules(), verdict.match.route
        try:
            verdict.unit = unit_in_body(route.unit, content_type, body, verdict.unit)
            wanted = route.fields if needs_fields(rules, verdict.principal, verdict.match) else ()
            fields = fields_in_body(wanted, content_type, body) if wanted else {}
        except MalformedRequest as unclear:
            verdict.unit = None
            verdict.deny(Decision("deny", unclear.code), unclear)
            return
        self._conclude(rules, verdict, fields)

    def _conclude(self, rules: Rules, verdict: Verdict, body: Mapping[str, FieldValue]) -> None:
        if verdict.principal is None or verdict.match is None:
            return
        denial = conclude(
            rules,
            verdict.principal,
            verdict.match,
            verdict.unit,
            now_us=self._clock(),
            client_ip=verdict.client_ip,
            body=body,
        )
        if denial is not None:
            verdict.deny(denial, _forbidden(denial))
        else:
            verdict.decision, verdict.principal = granted(
                verdict.decision, verdict.principal, verdict.match, verdict.unit
            )

    def _authenticate(self, credential: str, knowing: Sequence[Authenticator], verdict: Verdict) -> bool:
        """False where the request ends here. Open routes need nobody, so an invalid credential does not close them."""
        for authenticator in knowing:
            outcome = authenticator.authenticate(credential)
            if isinstance(outcome, Unsettled):
                verdict.wait, outcome = outcome.wait, outcome.invalid
            if isinstance(outcome, Authenticated):
                verdict.identify(outcome)
                return True
            if isinstance(outcome, Invalid):
                break
        else:
            outcome = Invalid("credential_unknown")
        verdict.identify(outcome)
        if verdict.match is not None and verdict.match.route.access != "permission":
            verdict.wait = None
            return True
        verdict.deny(Decision("deny", outcome.reason), Unauthenticated(_DETAILS[outcome.public], code=outcome.public))
        return False

    def _count(self, verdict: Verdict, last: bool) -> bool:
        """False where the request ends here, or has to wait. What is open, or asks for a credential of its own, is not
        counted; what would be refused for other reasons is, or it could be tried without end.
        """
        principal, match = verdict.principal, verdict.match
        if principal is None or (match is not None and match.route.access != "permission") or not self._is_current():
            return True
        try:
            allowance = self._meter.count(principal.buckets, self._clock(), last=last)
        except Unavailable as error:
            verdict.deny(Decision("deny", error.code), error)
            return False
        if allowance is None:
            verdict.uncounted = True
            verdict.deny(Decision("deny", BUSY.code), BUSY)
            return False
        verdict.allowance = allowance.headers
        if allowance.refusal is None or allowance.lacking is None:
            return True
        verdict.deny(Decision("deny", "rate_limited", f"limit:{allowance.lacking.source}"), allowance.refusal)
        return False

    def _decide(self, verdict: Verdict) -> None:
        decision = decide(verdict.principal, verdict.match)
        if decision.outcome == "deny":
            verdict.deny(decision, _refusal(decision, verdict.principal))
            return
        verdict.decision = decision
        if decision.rule != "route:open" and not self._is_current():
            stale = Unavailable("permissions cannot be looked up at the moment", code="directory_unavailable")
            verdict.deny(Decision("deny", stale.code), stale)
            return
        if verdict.principal is None:
            return
        denial = decide_network(verdict.principal, verdict.match, verdict.client_ip)
        if denial is not None:
            verdict.deny(denial, Forbidden(_DETAILS[denial.reason], code=denial.reason))

    def _claimed(self, head: RequestHead) -> Principal | None:
        headers = b"\n".join((*head.values(b"x-api-key"), *head.values(b"authorization"))).decode("latin-1")
        query = head.query.decode("latin-1")
        # As often decoded as the check that refuses credentials there decodes it.
        named = "\n".join((headers, query, unquote(query), unquote(unquote(query))))
        for authenticator in self._authenticators:
            principal = authenticator.claimed(named)
            if principal is not None:
                return principal
        return None


def _forbidden(denial: Decision) -> Forbidden:
    """`missing` is a permission, but where a policy lacks a field of the body."""
    missing = denial.missing
    if denial.reason == "policy_input_missing":
        return Forbidden(_DETAILS[denial.reason], code=denial.reason, field=missing)
    return Forbidden(_DETAILS[denial.reason], code=denial.reason, permission=missing)


def _refusal(decision: Decision, principal: Principal | None) -> HatchPayError:
    if decision.missing is not None:
        bearer = "key" if principal is None or principal.token is None else "token"
        return Forbidden(f"the {bearer} lacks the permission {decision.missing}", permission=decision.missing)
    if decision.reason == "credential_missing":
        return Unauthenticated(_DETAILS[decision.reason], code=decision.reason)
    return Forbidden(_DETAILS[decision.reason], code=decision.reason)
