"""Every error that HatchPay raises on purpose; nothing else may cross a boundary.

HatchPayError
├── Refusal                      a request that is turned away before its handler runs
│   ├── MalformedRequest         400, 413, 414 or 431: ambiguous or unreadable
│   ├── Unauthenticated          401: nobody we know
│   ├── Forbidden                403: known, but not allowed
│   ├── RateLimited              429: known and allowed, but too often; says when to come again
│   └── Unavailable              503: we cannot decide, or cannot record
├── InvalidInput                 422: a field of the request is wrong; names the field
├── NotFound                     404: no such object in the caller's tenant
├── Conflict                     409: the state forbids it
├── PreconditionFailed           412: it is not what the caller expected any more
├── AuditUnavailable             the record could not be made durable
├── SettingsError                a setting is missing or wrong; start-up stops
├── DirectoryUnavailable         the directory could not be opened or read
├── FetchFailed                  502: what another party publishes could not, or may not, be fetched
├── InvalidProof                 422: a note, checkpoint, proof or receipt that does not hold; the code says why
├── BrokenLog                    a file of the verifiable log is missing or damaged
├── DeliveryFailed               502: what was to be sent to another party was not taken, or may not be sent there
├── UnusableKey                  422: a JSON Web Key that cannot, or must not, be used
├── InvalidToken                 401: a JSON Web Token that is refused; the code says why
└── MalformedToken               a credential that does not have the form of one

Each carries a stable `code`. Compare codes or classes, never texts: `detail` is for people and may change.
No error ever holds a credential, a body or a header value.
"""

from __future__ import annotations

from http import HTTPStatus

__all__ = [
    "AuditUnavailable",
    "BrokenLog",
    "Conflict",
    "DeliveryFailed",
    "DirectoryUnavailable",
    "FetchFailed",
    "Forbidden",
    "HatchPayError",
    "InvalidInput",
    "InvalidProof",
    "InvalidToken",
    "MalformedRequest",
    "MalformedToken",
    "NotFound",
    "PreconditionFailed",
    "RateLimited",
    "Refusal",
    "SettingsError",
    "Unauthenticated",
    "Unavailable",
    "UnusableKey",
    "problem",
]


class HatchPayError(Exception):
    """Base of all errors.

    `code` is stable snake_case; `status` is the HTTP status that it becomes; `detail` one sentence for people;
    `field` the input that is wrong, where one is; `permission` the grant that is missing, where one is; `line` and
    `column`, from 1 on, where in a text of several lines it is wrong.
    """

    default_status = HTTPStatus.INTERNAL_SERVER_ERROR
    default_code = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        status: int | None = None,
        field: str | None = None,
        permission: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.status = int(status or self.default_status)
        self.field = field
        self.permission = permission
        self.line = line
        self.column = column


class Refusal(HatchPayError):
    default_status = HTTPStatus.FORBIDDEN
    default_code = "refused"


class MalformedRequest(Refusal):
    default_status = HTTPStatus.BAD_REQUEST
    default_code = "malformed_request"


class Unauthenticated(Refusal):
    default_status = HTTPStatus.UNAUTHORIZED
    default_code = "credential_invalid"


class Forbidden(Refusal):
    default_status = HTTPStatus.FORBIDDEN
    default_code = "permission_missing"


class RateLimited(Refusal):
    """`retry_after_s` is in how many whole seconds it is worth another try."""

    default_status = HTTPStatus.TOO_MANY_REQUESTS
    default_code = "rate_limited"

    def __init__(self, detail: str, *, code: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class Unavailable(Refusal):
    default_status = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "unavailable"


class InvalidInput(HatchPayError):
    default_status = HTTPStatus.UNPROCESSABLE_ENTITY
    default_code = "invalid_field"


class NotFound(HatchPayError):
    default_status = HTTPStatus.NOT_FOUND
    default_code = "not_found"


class Conflict(HatchPayError):
    default_status = HTTPStatus.CONFLICT
    default_code = "conflict"


class PreconditionFailed(HatchPayError):
    default_status = HTTPStatus.PRECONDITION_FAILED
    default_code = "precondition_failed"


class AuditUnavailable(HatchPayError):
    default_status = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "audit_unavailable"


class SettingsError(HatchPayError):
    default_code = "invalid_setting"


class DirectoryUnavailable(HatchPayError):
    default_status = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "directory_unavailable"


class FetchFailed(HatchPayError):
    default_status = HTTPStatus.BAD_GATEWAY
    default_code = "fetch_failed"


class InvalidProof(HatchPayError):
    default_status = HTTPStatus.UNPROCESSABLE_ENTITY
    default_code = "proof_invalid"


class BrokenLog(HatchPayError):
    default_code = "log_broken"


class DeliveryFailed(HatchPayError):
    default_status = HTTPStatus.BAD_GATEWAY
    default_code = "delivery_failed"


class UnusableKey(HatchPayError):
    default_status = HTTPStatus.UNPROCESSABLE_ENTITY
    default_code = "jwk_unusable"


class InvalidToken(HatchPayError):
    default_status = HTTPStatus.UNAUTHORIZED
    default_code = "token_invalid"


class MalformedToken(HatchPayError):
    default_status = HTTPStatus.UNAUTHORIZED
    default_code = "credential_malformed"


def problem(error: HatchPayError, request_id: str | None) -> dict[str, object]:
    """The one shape of every refusal: RFC 9457 members, plus `code`, `request_id` and what is to be mended."""
    body: dict[str, object] = {
        "type": f"urn:hatchpay:problem:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
    }
    if error.field is not None:
        body["field"] = error.field
    if error.permission is not None:
        body["permission"] = error.permission
    if error.line is not None:
        body |= {"line": error.line, "column": error.column}
    return body
