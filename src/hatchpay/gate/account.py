"""What is known of one request so far, and the record that it makes at any moment."""

from __future__ import annotations

from time import perf_counter_ns

from hatchpay.audit.naming import recorded_id, recorded_token_id
from hatchpay.audit.record import Record, State
from hatchpay.audit.redact import redact_headers, redact_text, redact_url
from hatchpay.gate.admission import Verdict
from hatchpay.gate.body import Intake
from hatchpay.gate.request import RequestHead
from hatchpay.ids import PLATFORM_TENANT_ID

__all__ = ["Account"]

_LONGEST_METHOD = 16
_LONGEST_HEAD = 8 * 1024
_LONGEST_URL = 2 * 1024


class Account:
    """`status` and `response_size` are those of the answer that is sent. Clock readings are of `perf_counter_ns`."""

    __slots__ = (
        "_auth_us",
        "_handler_from",
        "_head",
        "_intake",
        "_started_us",
        "_verdict",
        "_zero",
        "request_id",
        "response_size",
        "status",
        "subject",
    )

    def __init__(
        self, request_id: str, started_us: int, zero: int, head: RequestHead, verdict: Verdict, intake: Intake
    ) -> None:
        self.request_id = request_id
        self._started_us = started_us
        self._zero = zero
        self._head = head
        self._verdict = verdict
        self._intake = intake
        self._handler_from = perf_counter_ns()
        self._auth_us = (self._handler_from - zero) // 1000
        self.status: int | None = None
        self.response_size = 0
        self.subject: str | None = None

    def handler_begins(self) -> None:
        self._handler_from = perf_counter_ns()

    def intent(self) -> Record:
        """Before the handler: the body only where it has been read."""
        return self._record("indeterminate", None, None)

    def outcome(self, state: State, reason: str | None = None) -> Record:
        """`reason` takes the place of the decision's where the answer has another one."""
        return self._record(state, perf_counter_ns(), reason)

    def _record(self, state: State, finished: int | None, reason: str | None) -> Record:
        head, verdict, decision = self._head, self._verdict, self._verdict.decision
        principal, claimed, match = verdict.principal, verdict.claimed, verdict.match
        owner = principal or claimed
        body = self._intake.redacted(final=finished is not None)
        url, headers = _redacted_head(head)
        built = perf_counter_ns()
        # By position, in the order of the fields: by name it costs a microsecond more, of about thirty in all.
        return Record(
            self.request_id,
            PLATFORM_TENANT_ID if owner is None else owner.tenant_id,
            head.method if len(head.method) <= _LONGEST_METHOD else redact_text(head.method[:_LONGEST_METHOD]),
            url,
            self._started_us,
            verdict.client_ip,
            headers,
            verdict.correlation_id,
            verdict.unit,
            None if principal is None else recorded_id(principal),
            None if principal is None else principal.key_id,
            claimed.key_id if principal is None and claimed is not None else None,
            verdict.secret_version,
            () if principal is None else principal.roles,
            decision.outcome,
            reason or decision.reason,
            decision.rule,
            None if match is None else match.route.template,
            None if match is None else match.route.permission,
            None if body is None else body.value,
            self._intake.size if body is None else body.size,
            None if body is None else body.digest,
            self.status if finished is not None else None,
            self.response_size,
            (built - self._zero) // 1000,
            self._auth_us,
            (finished - self._handler_from) // 1000 if finished and decision.outcome == "allow" else 0,
            (built - finished) // 1000 if finished else 0,
            state,
            None if principal is None else recorded_token_id(principal),
            None if principal is None else principal.issuer_id,
            decision.missing,
            self.subject,
        )


def _redacted_head(head: RequestHead) -> tuple[str, dict[str, str]]:
    """URL and headers for the record. Of an oversized head only the beginning is looked at and kept: redacting all
    of it would let anybody, without a key, keep the server busy.
    """
    if head.size <= _LONGEST_HEAD:
        return redact_url(head.raw_path, head.query), redact_headers(head.headers)
    url = redact_url(head.raw_path[: 2 * _LONGEST_URL], head.query[: 2 * _LONGEST_URL])
    # What the cut has halved stands in the second half, which is not kept.
    url = url if len(url) <= _LONGEST_URL else url[:_LONGEST_URL] + "[cut]"
    kept, room = [], _LONGEST_HEAD
    for name, value in head.headers:
        room -= len(name) + len(value)
        if room > 0:
            kept.append((name, value))
    return url, redact_headers(kept)
