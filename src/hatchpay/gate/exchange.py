"""One request on its way: admitted, recorded, handled, recorded, answered.

The order that never bends, for a request with effects:

    judge -> intent durable -> handler -> completion durable -> the last byte of the answer

A safe request (GET, HEAD) may leave its intent to its completion's commit while the recorder is healthy and nothing
of its answer has left. What completes an answer is held back here until the completion is durable; the wait itself
happens in `run`, after the application's coroutine has returned, which costs less than suspending all of its frames.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Final

from hatchpay.access.decision import Decision
from hatchpay.audit.ports import Recorder
from hatchpay.audit.record import Completion, Intent, Record, State
from hatchpay.audit.redact import redact_text
from hatchpay.clock import Clock
from hatchpay.errors import AuditUnavailable, HatchPayError, Unavailable
from hatchpay.gate.account import Account
from hatchpay.gate.admission import Admission
from hatchpay.gate.allowance import ALLOWANCE_HEADERS
from hatchpay.gate.body import Intake, Receive
from hatchpay.gate.caller import Caller
from hatchpay.gate.problems import REQUEST_ID_HEADER, Message, problem_messages
from hatchpay.gate.request import RequestHead, Scope
from hatchpay.gate.subject import subject_of
from hatchpay.identity.authenticator import Authenticated, Invalid
from hatchpay.ids import IdSource

__all__ = ["Application", "Exchange", "Parts", "ResponseAborted", "Send"]

Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_log: Final = logging.getLogger("hatchpay.gate")
_SAFE: Final = frozenset({"GET", "HEAD"})
_UNSENDABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS: Final = frozenset({204, 304})
_LONG_NS: Final = 250_000_000


class ResponseAborted(HatchPayError):
    """Raised to the server when an answer that has begun cannot be ended properly; it closes the connection."""

    default_code = "response_aborted"


class Parts:
    """What every exchange of a gate shares."""

    __slots__ = ("admission", "clock", "fingerprint_key", "new_id", "observe", "recorder")

    def __init__(
        self,
        admission: Admission,
        recorder: Recorder,
        clock: Clock,
        new_id: IdSource,
        fingerprint_key: bytes,
        observe: Callable[[Record], None],
    ) -> None:
        self.admission = admission
        self.recorder = recorder
        self.clock = clock
        self.new_id = new_id
        self.fingerprint_key = fingerprint_key
        self.observe = observe


class Exchange:
    """`scope` is the application's copy; `receive` and `send` are the server's; `refusal` is one that is sure."""

    __slots__ = (
        "_account",
        "_app_returned",
        "_begun",
        "_committed",
        "_delivery",
        "_ended",
        "_expected",
        "_handler_refused",
        "_head",
        "_held",
        "_intake",
        "_parts",
        "_safe",
        "_scope",
        "_send",
        "_start",
        "_unintended",
        "_verdict",
    )

    def __init__(
        self, parts: Parts, scope: Scope, receive: Receive, send: Send, refusal: HatchPayError | None = None
    ) -> None:
        zero = perf_counter_ns()
        started_us = parts.clock()
        self._parts = parts
        self._scope = scope
        self._send = send
        self._head = head = RequestHead(scope)
        self._safe = head.method in _SAFE
        self._verdict = parts.admission.judge(head, refusal)
        self._intake = Intake(receive, head, parts.fingerprint_key)
        self._intake.keeps = self._verdict.match is None or self._verdict.match.route.keeps_body
        self._account = Account(parts.new_id(), started_us, zero, head, self._verdict, self._intake)
        self._start: Message | None = None
        self._held: list[Message] = []
        self._expected: int | None = None
        # _begun: the start of the answer is sent, or held to be. _ended: what will be recorded is decided.
        # _held: what leaves once _committed is done; by run itself, or by _delivery while the application is busy.
        self._begun = False
        self._ended = False
        self._app_returned = False
        self._handler_refused = False
        self._unintended = True
        self._committed: asyncio.Future[None] | None = None
        self._delivery: asyncio.Task[None] | None = None

    @property
    def is_control(self) -> bool:
        match = self._verdict.match
        return match is not None and match.route.control

    async def run(self, app: Application) -> None:
        verdict = self._verdict
        try:
            if verdict.is_open:
                await self._parts.admission.settle(self._head, verdict)
            if not (self._is_free or await self._admitted()):
                return
            self._scope["hatchpay"] = Caller(
                self._account.request_id,
                verdict.principal,
                self._refused_inside,
                verdict.client_ip,
                self._identified_inside,
            )
            if self._account.subject is None:
                self._name_subject()
            self._account.handler_begins()
            try:
                await app(self._scope, self._intake.receive, self.send)
            except BaseException as error:
                self._app_returned = True
                if _is_cancelled(error):
                    raise
                await self._after_failure(error)
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    raise
                return
            self._app_returned = True
            if self._ended:
                await (self._delivery or self._deliver())
            else:
                await self._after_silence()
        except asyncio.CancelledError:
            # The server gives up on this request, at the end of its patience during shutdown for example.
            if not self._ended:
                self._end_unanswered("disconnected")
            raise

    @property
    def _is_free(self) -> bool:
        """Allowed, and with nothing to be read or stored before its handler runs."""
        return self._safe and self._verdict.refusal is None and not self._head.has_body and self._parts.recorder.healthy

    async def _admitted(self) -> bool:
        """True where the handler may run: the request is allowed, and where it must be, on record."""
        verdict = self._verdict
        if verdict.refusal is None and self._head.has_body:
            await self._take_in()
        if verdict.refusal is not None:
            await self._refuse(verdict.refusal)
            return False
        if self._intake.disconnected:
            self._end_unanswered("disconnected")
            return False
        self._name_subject()
        if not (self._safe and self._parts.recorder.healthy):
            try:
                await self._intend()
            except AuditUnavailable:
                await self._refuse(_unavailable(), owed=True)
                return False
        return True

    async def send(self, message: Message) -> None:
        """What the application is given in place of the server's `send`."""
        kind = message["type"]
        if kind == "http.response.start":
            self._open(message)
        elif kind != "http.response.body":
            raise ResponseAborted(f"the application sent a message that HatchPay does not pass on: {kind}")
        elif not self._held_back(message):
            await self._pass_on(message)

    def _open(self, message: Message) -> None:
        if self._start is not None:
            raise ResponseAborted("the application began its answer twice")
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ResponseAborted("the application answered with a status that is none")
        headers = []
        allowance = self._verdict.allowance
        for name, value in message.get("headers", ()):
            if _UNSENDABLE.search(name) or _UNSENDABLE.search(value):
                raise ResponseAborted("the application answered with a header that cannot be sent")
            lowered = name.lower()
            if lowered == REQUEST_ID_HEADER or (allowance and lowered in ALLOWANCE_HEADERS):
                continue
            if lowered == b"content-length":
                self._expected = int(value)
            headers.append((name, value))
        headers.append((REQUEST_ID_HEADER, self._account.request_id.encode()))
        headers += allowance
        self._start = {**message, "headers": headers}
        self._account.status = status
        if self._is_bodiless:
            self._hold({"type": "http.response.body", "body": b""})

    def _held_back(self, message: Message) -> bool:
        """False for a part that more follows. What completes the answer is held, and what comes after it dropped."""
        if self._start is None:
            raise ResponseAborted("the application sent a body before it began its answer")
        body = message.get("body", b"")
        if self._ended:
            if body and not self._is_bodiless:
                raise ResponseAborted("the application sent more than it had announced")
            return True
        account = self._account
        account.response_size += len(body)
        if self._expected is not None and account.response_size > self._expected:
            raise ResponseAborted("the application sent more than it had announced")
        if not message.get("more_body", False):
            if self._expected is not None and account.response_size < self._expected and not self._is_bodiless:
                raise ResponseAborted("the application sent less than it had announced")
            self._hold(message)
            return True
        if account.response_size == self._expected:
            # The answer is whole, and what may still follow is empty.
            self._hold({**message, "more_body": False})
            return True
        return False

    async def _pass_on(self, part: Message) -> None:
        if not self._begun:
            # The first byte of an answer in parts is about to leave: from here on its request must be on record.
            assert self._start is not None  # noqa: S101
            if self._unintended:
                await self._intend()
            self._begun = True
            await self._send(self._start)
        await self._send(part)

    async def _take_in(self) -> None:
        """Read ahead what the decision or the intent needs of the body."""
        verdict, admission, intake = self._verdict, self._parts.admission, self._intake
        began = perf_counter_ns()
        if verdict.needs_body or not self._safe:
            await intake.read_ahead(whole=verdict.needs_body)
        if perf_counter_ns() - began > _LONG_NS and intake.goes_on:
            # A body may take minutes to arrive: whoever was let in by its head may have lost their right since.
            admission.judge_again(self._head, verdict)
            if verdict.needs_body and verdict.refusal is None:
                await intake.read_ahead(whole=True)
        if verdict.needs_body and verdict.refusal is None and intake.goes_on:
            admission.judge_body(verdict, self._head.content_type, intake.ahead())
        if intake.refusal is not None:
            self._deny(intake.refusal)

    def _name_subject(self) -> None:
        match, principal = self._verdict.match, self._verdict.principal
        if match is not None and principal is not None and match.route.subject:
            self._account.subject = subject_of(
                match,
                self._head.content_type,
                self._intake.ahead(),
                self._parts.fingerprint_key,
                principal.tenant_id,
            )

    def _deny(self, refusal: HatchPayError) -> None:
        self._verdict.deny(Decision("deny", refusal.code), refusal)

    async def _intend(self) -> None:
        """Raises AuditUnavailable where the intent could not be made durable."""
        await self._parts.recorder.submit(Intent(self._account.intent()))
        self._unintended = False

    async def _refuse(self, refusal: HatchPayError, *, owed: bool = False) -> None:
        """Answer with a problem, once its record is durable; where none can be made, with 503, and owe the record."""
        self._replace(refusal)
        self._begun = True
        if owed:
            self._owe("refused", refusal)
        else:
            self._end("refused")
        await self._deliver()

    @property
    def _is_bodiless(self) -> bool:
        return self._account.status in _BODILESS or self._head.method == "HEAD"

    def _hold(self, last: Message) -> None:
        """The answer is whole: queue its record, and let `run` or, should the application go on, a task send it."""
        if not self._begun:
            assert self._start is not None  # noqa: S101
            self._held.append(self._start)
            self._begun = True
        self._held.append(last)
        refusal = self._intake.refusal
        if refusal is not None and self._held[0] is self._start:
            # The application has answered something of its own to a body that ended at the limit.
            self._deny(refusal)
            self._replace(refusal)
            committed = self._end("refused")
        elif self._intake.disconnected:
            committed = self._end("disconnected")
        else:
            committed = self._end("refused" if self._handler_refused else "completed")
        committed.add_done_callback(self._on_committed)

    def _refused_inside(self, reason: str, denied: bool) -> None:
        if not self._ended:
            self._handler_refused = True
            decision = self._verdict.decision
            self._verdict.decision = Decision("deny" if denied else decision.outcome, reason, decision.rule)

    def _identified_inside(self, outcome: Authenticated | Invalid) -> None:
        match = self._verdict.match
        if not self._ended and match is not None and match.route.access == "self_authenticating":
            self._verdict.identify(outcome)

    def _on_committed(self, _: asyncio.Future[None]) -> None:
        if not self._app_returned:
            # The application is still busy, with background work of its own for example.
            self._delivery = asyncio.ensure_future(self._deliver())

    async def _deliver(self) -> None:
        """Send what was held, once its record is durable."""
        if self._committed is not None:
            try:
                await self._committed
            except AuditUnavailable:
                self._unrecorded()
        for message in self._held:
            await self._send(message)

    def _unrecorded(self) -> None:
        """The handler has run, its completion could not be stored. Raises ResponseAborted where bytes have left."""
        refusal = _unavailable()
        state: State = "refused"
        if self._verdict.refusal is None and not self._safe:
            state = "failed"
            refusal = Unavailable(
                "the request may have been executed, but its outcome could not be recorded; "
                "look before you send it again",
                code="outcome_unrecorded",
            )
        self._owe(state, refusal)
        if self._held[0]["type"] != "http.response.start":
            raise ResponseAborted("the answer was cut off, since its outcome could not be recorded")
        self._replace(refusal)

    def _replace(self, refusal: HatchPayError) -> None:
        self._held = list(problem_messages(refusal, self._account.request_id, self._verdict.allowance))
        self._account.status = refusal.status
        self._account.response_size = len(self._held[1]["body"])

    async def _after_failure(self, error: BaseException) -> None:
        """The application raised. What it had finished is still sent; what it had begun is cut off."""
        if self._ended:
            self._report(error)
            await (self._delivery or self._deliver())
            return
        if self._intake.disconnected:
            self._end_unanswered("disconnected")
            return
        if self._intake.refusal is not None and not self._begun:
            self._deny(self._intake.refusal)
            await self._refuse(self._intake.refusal)
            return
        if isinstance(error, AuditUnavailable) and not self._begun:
            await self._refuse(_unavailable(), owed=True)
            return
        self._report(error)
        await self._fail()

    async def _after_silence(self) -> None:
        """The application returned without a whole answer."""
        if self._intake.disconnected:
            self._end_unanswered("disconnected")
            return
        _log.error("the application returned without an answer", extra={"request_id": self._account.request_id})
        await self._fail()

    async def _fail(self) -> None:
        if self._begun:
            self._end_unanswered("failed")
            raise ResponseAborted("the application did not end its answer")
        self._begun = True
        self._replace(HatchPayError("the application failed", code="internal_error"))
        self._end("failed")
        await self._deliver()

    def _report(self, error: BaseException) -> None:
        """To the log, redacted: an exception's text is the application's, and may hold whatever it was given."""
        text = redact_text("".join(traceback.format_exception(error)))
        _log.error("the application failed in request %s\n%s", self._account.request_id, text)

    def _end(self, state: State) -> asyncio.Future[None]:
        self._ended = True
        record = self._account.outcome(state)
        self._parts.observe(record)
        self._committed = self._parts.recorder.submit(Completion(record))
        return self._committed

    def _end_unanswered(self, state: State) -> None:
        """Nobody waits for this record, so that a failure to store it is made good later."""

        def keep(done: asyncio.Future[None]) -> None:
            if done.cancelled() or done.exception() is not None:
                self._parts.recorder.owe(Completion(self._account.outcome(state)))

        self._end(state).add_done_callback(keep)

    def _owe(self, state: State, refusal: HatchPayError) -> None:
        """For an answer whose record cannot be stored now. What it says is what the caller gets instead."""
        self._ended = True
        self._account.status = refusal.status
        record = self._account.outcome(state, refusal.code)
        self._parts.observe(record)
        self._parts.recorder.owe(Completion(record))


def _is_cancelled(error: BaseException) -> bool:
    """Whether the server gives the request up; an application may raise CancelledError all by itself."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _unavailable() -> Unavailable:
    return Unavailable("requests cannot be recorded at the moment, so none is let through", code="audit_unavailable")
