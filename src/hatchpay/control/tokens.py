"""`/v1/auth/token`, `/revoke` and `/introspect`: OAuth endpoints, with OAuth's own errors (RFC 6749, 7009, 7662, 8693).

They authenticate their callers themselves: the gate only records, and lets nobody else through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from hatchpay.admin.token_views import IssuedToken, TokenWish
from hatchpay.admin.views import Actor
from hatchpay.control import examples
from hatchpay.control.calls import CurrentServices, read, write
from hatchpay.control.documentation import TOKEN_FORM, TOKEN_ONLY_FORM, oauth_documented
from hatchpay.control.oauth_client import Endpoint
from hatchpay.control.oauth_form import OAuthRefusal, read_form, refusal_answer
from hatchpay.control.published import ACCESS_TOKEN, CLIENT_CREDENTIALS, JWT, TOKEN_EXCHANGE
from hatchpay.control.services import Services
from hatchpay.errors import Forbidden, InvalidInput, InvalidToken, Unauthenticated
from hatchpay.identity.authenticator import Authenticated
from hatchpay.tokens import jwt

__all__ = ["router"]

_KEY_PREFIXES: Final = ("hp_live_", "hp_test_")
_STANDARD_CLAIMS: Final = ("iss", "aud", "iat", "nbf", "exp", "jti")

router: Final = APIRouter(tags=["Tokens"], default_response_class=Response)


@router.post(
    "/v1/auth/token",
    **oauth_documented(
        "issueToken",
        "Exchange a key for a token",
        (TOKEN_FORM, examples.TOKEN_FORM),
        examples.TOKEN,
        examples.TOKEN_REFUSED,
    ),
)
async def token(request: Request, services: CurrentServices) -> Response:
    async def answer(endpoint: Endpoint) -> Response:
        grant = endpoint.required("grant_type")
        if grant == CLIENT_CREDENTIALS:
            return await _client_credentials(endpoint, services)
        if grant == TOKEN_EXCHANGE:
            return await _token_exchange(endpoint, services)
        raise OAuthRefusal(f"use {CLIENT_CREDENTIALS} or {TOKEN_EXCHANGE}", code="unsupported_grant_type")

    return await _answered(request, services, answer)


@router.post(
    "/v1/auth/revoke",
    **oauth_documented(
        "revokeToken",
        "Revoke a token at once",
        (TOKEN_ONLY_FORM, examples.TOKEN_ONLY_FORM),
        None,
        examples.REVOCATION_REFUSED,
    ),
)
async def revoke(request: Request, services: CurrentServices) -> Response:
    async def answer(endpoint: Endpoint) -> Response:
        client = endpoint.client()
        text = endpoint.required("token")
        if text.startswith(_KEY_PREFIXES):
            raise OAuthRefusal("this is an API key; disable or delete it instead", code="unsupported_token_type")
        try:
            claims = services.token_authenticator.own_claims(text)
        except InvalidToken as error:
            if error.code == "token_issuer_unknown":
                raise OAuthRefusal(
                    "only tokens of this server can be revoked here", code="unsupported_token_type"
                ) from None
            # Nothing is left to be revoked (RFC 7009, section 2.2).
            return Response(status_code=200)
        reason = services.others_tokens.refuses_to_end(client.principal, claims, endpoint.caller.client_ip)
        if reason is not None:
            raise _not_the_clients(reason)
        try:
            await write(services, services.tokens.revoke, Actor(client.principal, endpoint.caller.request_id), claims)
        except Forbidden:
            raise _not_the_clients("permission_missing") from None
        return Response(status_code=200)

    return await _answered(request, services, answer)


@router.post(
    "/v1/auth/introspect",
    **oauth_documented(
        "introspectToken",
        "Say whether a token is good, and for what",
        (TOKEN_ONLY_FORM, examples.TOKEN_ONLY_FORM),
        examples.INTROSPECTION,
        examples.INTROSPECTION_REFUSED,
    ),
)
async def introspect(request: Request, services: CurrentServices) -> Response:
    async def answer(endpoint: Endpoint) -> Response:
        client = endpoint.client()
        text = endpoint.required("token")
        outcome = await endpoint.token(text)
        # Of what the client may not see, nobody says more than that it is of no use to it.
        if isinstance(outcome, Authenticated) and services.others_tokens.may_read(
            client.principal, outcome.principal, endpoint.caller.client_ip
        ):
            return _json(_inspected(outcome, text))
        return _json({"active": False})

    return await _answered(request, services, answer)


async def _answered(
    request: Request, services: Services, answer: Callable[[Endpoint], Awaitable[Response]]
) -> Response:
    """Every refusal in OAuth's shape, and told to the record."""
    refusal: OAuthRefusal
    endpoint = Endpoint(request, services, {})
    try:
        endpoint.form = await read_form(request)
        return await answer(endpoint)
    except OAuthRefusal as error:
        refusal = error
    except InvalidInput as error:
        code = error.code if error.code in {"invalid_scope", "invalid_target"} else "invalid_request"
        refusal = OAuthRefusal(error.detail, code=code, reason=error.code)
    except Unauthenticated as error:
        known = error.code == "invalid_client"
        refusal = OAuthRefusal(
            error.detail, code=error.code if known else "invalid_grant", status=401 if known else 400
        )
    endpoint.caller.refused(refusal.reason, refusal.denied)
    return refusal_answer(refusal)


async def _client_credentials(endpoint: Endpoint, services: Services) -> Response:
    client = endpoint.client()
    wish = _wish(endpoint, services)
    return _issued(await read(services.tokens.issue, client, wish, endpoint.caller.request_id), None)


async def _token_exchange(endpoint: Endpoint, services: Services) -> Response:
    client = endpoint.client_if_sent()
    text = endpoint.required("subject_token")
    if endpoint.required("subject_token_type") not in (ACCESS_TOKEN, JWT):
        raise OAuthRefusal(f"subject_token_type is {ACCESS_TOKEN} or {JWT}")
    if "actor_token" in endpoint.form:
        raise OAuthRefusal("actor tokens are not supported")
    wanted = endpoint.form.get("requested_token_type", ACCESS_TOKEN)
    if wanted not in (ACCESS_TOKEN, JWT):
        raise OAuthRefusal(f"requested_token_type is {ACCESS_TOKEN} or {JWT}")
    wish = _wish(endpoint, services)
    subject = await endpoint.subject(text)
    try:
        issued = await read(services.tokens.exchange, client, subject, wish, endpoint.caller.request_id)
    except Forbidden as error:
        # RFC 8693, section 2.2.2: a subject token that is no good, for whatever reason, is an invalid request.
        raise OAuthRefusal(error.detail, reason=error.code, denied=True) from None
    if client is not None:
        acting = msgspec.structs.replace(subject.principal, key_id=client.principal.key_id)
        endpoint.caller.identified(Authenticated(acting, client.secret_version))
    return _issued(issued, wanted)


def _wish(endpoint: Endpoint, services: Services) -> TokenWish:
    for name in ("audience", "resource"):
        if endpoint.form.get(name, services.published.url) != services.published.url:
            raise OAuthRefusal("tokens are for this server only", code="invalid_target")
    life = endpoint.form.get("expires_in")
    if life is not None and not (life.isascii() and life.isdigit() and len(life) <= 6):
        raise OAuthRefusal("expires_in is a number of seconds")
    return TokenWish(scope=endpoint.form.get("scope"), expires_in=None if life is None else int(life))


def _issued(issued: IssuedToken, token_type: str | None) -> Response:
    body = msgspec.to_builtins(issued)
    return _json(body if token_type is None else {**body, "issued_token_type": token_type})


def _not_the_clients(reason: str) -> OAuthRefusal:
    return OAuthRefusal("the token was issued to another client", code="unauthorized_client", reason=reason)


def _inspected(outcome: Authenticated, text: str) -> dict[str, object]:
    """RFC 7662, section 2.2: what it is good for now, which may be less than when it was issued."""
    principal = outcome.principal
    claims = jwt.parse(text).claims
    units = principal.business_unit_ids
    answer = {
        "active": True,
        "token_type": "Bearer",
        "scope": " ".join(principal.held),
        "sub": claims.get("sub"),
        "client_id": principal.key_id or claims.get("client_id") or claims.get("azp"),
        **{name: claims.get(name) for name in _STANDARD_CLAIMS},
        "tenant": principal.tenant_id,
        "roles": list(principal.roles),
        "permissions": principal.held,
        "business_units": None if units is None else sorted(units),
    }
    return {name: value for name, value in answer.items() if value is not None or name == "business_units"}


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), headers={"Pragma": "no-cache"}, media_type="application/json")
