"""`hatchpay token`: access tokens, issued for a key, and looked into."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
import typer

from hatchpay.cli.options import Tenant
from hatchpay.cli.output import Output
from hatchpay.cli.ports import TokenInspection
from hatchpay.cli.session import Session, command
from hatchpay.clock import format_time
from hatchpay.ids import is_uuid

__all__ = ["WHY", "app"]

app: Final = typer.Typer(help="Tokens: issue them for a key, and see what is in one.")

_MOST_BYTES: Final = 1024 * 1024
_LAST_SECOND: Final = 253_402_300_799
_TIMES: Final = frozenset({"exp", "iat", "nbf"})
_AMBIGUOUS: Final = re.compile(r"[-+0-9.eE]*|true|false|null")

WHY: Final[Mapping[str, str]] = {
    "token_algorithm_hmac": "it is signed with HMAC, whose key would be a secret, and the issuer's keys are public",
    "token_algorithm_missing": "its header names no algorithm",
    "token_algorithm_none": "it is not signed: its header says so",
    "token_algorithm_not_allowed": "its algorithm is not among those that this issuer may use",
    "token_algorithm_unfit": "its algorithm does not fit the key that its kid names",
    "token_algorithm_unknown": "its algorithm is none of EdDSA, ES256, PS256 and RS256",
    "token_audience_ambiguous": "its audiences mean more than one trusted issuer",
    "token_audience_invalid": "its aud is neither a text nor a list of texts",
    "token_audience_missing": "it names no audience",
    "token_audience_wrong": "it is for another audience",
    "token_b64_unsupported": "its payload is not in base64url (b64 is not true)",
    "token_base64_not_canonical": "a part of it is not in the one canonical spelling of base64url",
    "token_business_units_missing": "it does not name business units where its issuer's tokens have to",
    "token_characters_invalid": "a part of it holds characters that base64url has not, such as padding or white space",
    "token_claim_invalid": "a claim has another form than it has to have",
    "token_client_unknown": "the API key that it was made from does not exist",
    "token_crit_unknown": "its header demands an extension that is unknown here",
    "token_duplicate_member": "it names one member twice",
    "token_expired": "it has expired",
    "token_expiry_invalid": "its exp is not a whole number of seconds",
    "token_expiry_missing": "it never expires",
    "token_invalid": "it is not valid",
    "token_issued_at_invalid": "its iat is not a whole number of seconds",
    "token_issued_in_future": "it was issued in the future",
    "token_issuer_disabled": "its issuer is disabled",
    "token_issuer_invalid": "its iss is not a text of 1 to 2,048 characters",
    "token_issuer_missing": "it names no issuer",
    "token_issuer_stale": "its issuer's keys could not be fetched for so long that they are not believed any more",
    "token_issuer_unknown": "no tenant trusts its issuer, and it is not a URL under which this installation was served",
    "token_json_invalid": "its header or its payload is not JSON",
    "token_json_not_object": "its header or its payload is not a JSON object",
    "token_json_too_deep": "its header or its payload is nested too deep",
    "token_key_deleted": "the API key that it was made from was deleted",
    "token_key_disabled": "the API key that it was made from is disabled",
    "token_key_ended": "the API key that it was made from, or the secret, has ended",
    "token_key_in_header": "it brings its own key, or the address of one (jwk, jku, x5u or x5c)",
    "token_key_missing": "it has no kid, and no key of its issuer fits its algorithm",
    "token_kid_ambiguous": "several keys of its issuer have its kid",
    "token_kid_invalid": "its kid is not a text of 1 to 256 characters",
    "token_kid_missing": "it has no kid, and several keys of its issuer fit",
    "token_kid_unknown": "no key of its kid is known: it was retired, has ended, or was not fetched yet",
    "token_not_before_invalid": "its nbf is not a whole number of seconds",
    "token_not_yet_valid": "it is not valid yet",
    "token_number_not_finite": "it holds a number that is not finite",
    "token_parts_wrong": "a token has three parts with a dot between them, and this has not",
    "token_revoked": "it was revoked",
    "token_sender_constrained": "it is bound to a key of its holder, and here nobody can show that",
    "token_signature_der": "its signature is in DER, which is not the form that tokens have",
    "token_signature_invalid": "its signature is not by the key that it names, over what it says",
    "token_signature_length": "its signature has a length that the key's signatures never have",
    "token_tenant_wrong": "it is for another tenant",
    "token_too_long": "it is longer than 16,384 characters",
    "token_type_missing": "its header does not say its type, which has to be at+jwt",
    "token_type_wrong": "it is of another type than an access token",
    "token_user_missing": "it does not say who its user is",
}
"""By the code of why a token is refused: the same in a sentence's second half."""

_UNUSABLE_KEY: Final = "the key of its kid, as its issuer publishes it, cannot be used"


@command(app, "issue")
def issue(
    session: Session,
    key: Annotated[
        str,
        typer.Option(
            "--key",
            metavar="KEY",
            help="An API key, or its id; - reads it from standard input, which keeps a key out of the process list "
            "and the shell's history.",
        ),
    ],
    scope: Annotated[
        str | None,
        typer.Option("--scope", metavar="PERMISSIONS", help="Only these of the key's, by spaces apart; else all."),
    ] = None,
    expires_in: Annotated[
        int | None, typer.Option("--expires-in", metavar="SECONDS", min=1, help="Up to 12 hours.")
    ] = None,
    tenant: Tenant = None,
) -> None:
    """Issue a token for a key, and print nothing else. With --json, the answer of RFC 6749."""
    # Behind its types is all of cryptography, which no help text needs.
    from hatchpay.admin.token_views import TokenWish

    text = _read() if key == "-" else key
    with session.local() as local:
        if is_uuid(text):
            tenant_id: str | None = session.tenant_id(local, tenant)
        else:
            tenant_id = None if tenant is None else local.tenants.find(tenant).id
        issued = local.issue_token(text, tenant_id, TokenWish(scope=scope, expires_in=expires_in))
    if session.out.as_json:
        session.out.document(issued)
    else:
        session.out.line(issued.access_token)


@command(app, "inspect")
def inspect(
    session: Session,
    token: Annotated[
        str | None, typer.Argument(metavar="TOKEN", help="Left out, or - : it is read from standard input.")
    ] = None,
) -> None:
    """Show what is in a token, and whether a server would accept it, or why not. Nothing is sent anywhere."""
    text = _read() if token in {None, "-"} else token
    assert text is not None  # noqa: S101
    with session.local() as local:
        found = local.inspect_token(text)
    if session.out.as_json:
        session.out.document(_document(found))
    else:
        _print(session.out, found)


def _read() -> str:
    if sys.stdin is None:
        raise typer.BadParameter("standard input is closed.")
    # As bytes: an error in decoding would hold what was read.
    return sys.stdin.buffer.read(_MOST_BYTES).decode("utf-8", "replace").strip()


def _document(found: TokenInspection) -> dict[str, object]:
    principal = found.principal
    return {
        "header": found.header,
        "claims": found.claims,
        "verdict": "refused" if principal is None else "accepted",
        "reason": found.reason,
        "explanation": _explanation(found),
        "principal_id": None if principal is None else principal.id,
        "tenant_id": None if principal is None else principal.tenant_id,
        "permissions": [] if principal is None else principal.held,
    }


def _print(out: Output, found: TokenInspection) -> None:
    rows = [("header", name, _value(value)) for name, value in (found.header or {}).items()]
    rows += [("claim", name, _value(value) + _time(name, value)) for name, value in (found.claims or {}).items()]
    if rows:
        out.listing(rows, {"part": lambda row: row[0], "name": lambda row: row[1], "value": lambda row: row[2]})
        out.line("")
    explanation = _explanation(found)
    if found.principal is None:
        out.line("verdict refused")
        out.line(f"reason {found.reason}")
    else:
        out.line("verdict accepted")
        out.line(f"principal {found.principal.id}")
        out.line(f"tenant {found.principal.tenant_id}")
        out.line(f"permissions {', '.join(found.principal.held) or '-'}")
    if explanation is not None:
        out.line(explanation)


def _explanation(found: TokenInspection) -> str | None:
    if found.reason is not None:
        return f"The token would be refused: {WHY.get(found.reason, _UNUSABLE_KEY)}."
    networks = None if found.principal is None else found.principal.limits.networks
    if networks is None:
        return None
    return f"The token is accepted only from {', '.join(map(str, networks)) or 'nowhere'}."


def _value(value: object) -> str:
    """As JSON, but a text without its quotes where it could be nothing else."""
    if isinstance(value, str) and not _AMBIGUOUS.fullmatch(value):
        return value
    return msgspec.json.encode(value).decode()


def _time(name: str, value: object) -> str:
    if name not in _TIMES or isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if not 0 <= value <= _LAST_SECOND or value != int(value):
        return ""
    return f" ({format_time(int(value) * 1_000_000)})"
