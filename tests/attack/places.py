"""Every place that a request has for a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import quote

from tests.support.raw import request

from hatchpay.ids import new_id

__all__ = ["LABELLED_PLACES", "LONG_PLACES", "PLACES", "Fill", "Headers", "form_body", "json_body"]

Headers = list[tuple[str, str]]
Fill = Callable[[str, Headers], bytes]
"""Makes a request of a canary's text and the headers that prove a caller."""

_COUNT = "/shop/count"
_CRASH = "/shop/crash"
_KEYS = "/v1/api-key/keys"
_FORM = "application/x-www-form-urlencoded"
_FILLER = "word " * 14_000
_OVER = 16 * 1024 * 1024 + 1


def header(name: str, path: str = "/roles", method: str = "GET") -> Fill:
    return lambda text, caller: request(path, method, [*caller, (name, _line(text))])


def credential(name: str, form: str = "{}") -> Fill:
    """In place of the caller's own."""
    return lambda text, _: request("/roles", headers=[(name, form.format(_line(text)))])


def target(form: str, method: str = "GET") -> Fill:
    return lambda text, caller: request(form.format(quote(text, safe="")), method, caller)


def raw_target(form: str) -> Fill:
    """As it is, but for spaces, which would end it."""
    return lambda text, caller: request(form.format(_line(text).replace(" ", "%20")), headers=caller)


def body(media: str, build: Callable[[str], str], path: str = _COUNT, method: str = "POST") -> Fill:
    def fill(text: str, caller: Headers) -> bytes:
        return request(path, method, [*caller, ("Content-Type", media)], build(text).encode())

    return fill


def json_body(build: Callable[[str], object], path: str = _COUNT, method: str = "POST") -> Fill:
    return body("application/json", lambda text: json.dumps(build(text)), path, method)


def form_body(build: Callable[[str], str]) -> Fill:
    return body(_FORM, build)


def in_chunks(size: int, media: str, build: Callable[[str], str]) -> Fill:
    def fill(text: str, caller: Headers) -> bytes:
        whole = build(text).encode()
        pieces = (whole[start : start + size] for start in range(0, len(whole), size))
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        headers = [*caller, ("Content-Type", media), ("Transfer-Encoding", "chunked")]
        return request(_COUNT, "POST", headers, chunks + b"0\r\n\r\n")

    return fill


def broken(form: str) -> Fill:
    """A head that no parser takes."""
    return lambda text, _: form.format(_line(text)).encode("latin-1") + b"\r\n\r\n"


def _line(text: str) -> str:
    """Fit for one line of a head, which is made of bytes: UTF-8, read as Latin-1."""
    return text.replace("\n", " ").encode().decode("latin-1")


def _token(text: str) -> str:
    """Fit for a header's name."""
    return re.sub(r"[^A-Za-z0-9_%+-]", "", text)


def _escaped(text: str) -> str:
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _multipart(text: str) -> str:
    return f'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n{text}\r\n--b--\r\n'


PLACES: dict[str, Fill] = {
    **{
        f"the header {name}": header(name)
        for name in (
            "User-Agent",
            "Accept",
            "Content-Type",
            "Idempotency-Key",
            "Cookie",
            "Referer",
            "X-Custom",
            "X-Forwarded-For",
            "X-Request-ID",
            "Proxy-Authorization",
            "X-Amz-Security-Token",
            "Origin",
        )
    },
    "X-API-Key": credential("X-API-Key"),
    "X-API-Key, as one of a list": credential("X-API-Key", "x, {}"),
    "X-API-Key, with more around it": credential("x-api-key", "key={} x"),
    "Authorization": credential("Authorization"),
    "Authorization, as a Bearer": credential("Authorization", "Bearer {}"),
    "Authorization, as two": credential("Authorization", "bearer  {} x"),
    "Authorization, as Basic": credential("Authorization", "Basic {}"),
    "Authorization, as Digest": credential("Authorization", "Digest username={}"),
    "Authorization, as no scheme": credential("Authorization", "ApiKey {}"),
    "Authorization beside a key": header("Authorization"),
    "Host": credential("Host"),
    "a header's name": lambda text, caller: request("/roles", headers=[*caller, (f"X-{_token(text)}", "x")]),
    "a query value": target("/roles?anything={}"),
    "a query value of a kept name": target("/roles?limit={}"),
    "a query value of a filter": target("/v1/audit-log/history?route={}"),
    "a query name": target("/roles?{}=1"),
    "a bare query": target("/roles?{}"),
    "a query behind a semicolon": target("/roles?a=1;b={}"),
    "a query value as it is": raw_target("/roles?q={}"),
    "a path segment": target("/nothing/{}/here"),
    "a path segment of a route": target("/v1/api-key/keys/{}"),
    "a path segment as it is": raw_target("/nothing/{}"),
    "a path that is refused": raw_target("/nothing/{}/.."),
    "a path of a crash": target("/shop/items/{}/crash", "POST"),
    "a JSON text": json_body(lambda text: {"note": text}),
    "a JSON text deep down": json_body(lambda text: {"a": [[{"b": {"c": ["x", text]}}]]}),
    "a JSON key": json_body(lambda text: {text: "value"}),
    "a JSON document of one text": json_body(lambda text: text),
    "JSON within JSON": json_body(lambda text: {"inner": json.dumps({"note": text})}),
    "JSON in escapes": body("application/json", lambda text: f'{{"note": "{_escaped(text)}"}}'),
    "JSON that breaks off": body("application/json", lambda text: f'{{"note": {json.dumps(text)[:-1]}'),
    "JSON with a key twice": body("application/json", lambda text: f'{{"a": 1, "a": {json.dumps(text)}}}'),
    "JSON lines": body("application/x-ndjson", lambda text: f'{{"a": 1}}\n{{"a": {json.dumps(text)}}}\n'),
    "JSON that is none": body("application/json", lambda text: text),
    "a form's value": form_body(lambda text: f"a=1&note={quote(text)}&b=2"),
    "a form's name": form_body(lambda text: f"a=1&{quote(text)}=2"),
    "a form's value as it is": form_body(lambda text: f"a=1&note={text}"),
    "a part of a multipart body": body("multipart/form-data; boundary=b", _multipart),
    "plain text": body("text/plain", lambda text: f"Dear all,\nhere it is: {text}\nBye"),
    "XML": body("application/xml", lambda text: f'<a b="{text}"><c>{text}</c></a>'),
    "a body of no type": lambda text, caller: request(_COUNT, "POST", caller, text.encode()),
    "a text in chunks of one byte": in_chunks(1, "text/plain", lambda text: f"here it is: {text} and so on"),
    "JSON in chunks of seven bytes": in_chunks(7, "application/json", lambda text: json.dumps({"note": text})),
    "a form in chunks of five bytes": in_chunks(5, _FORM, lambda text: f"a=1&b={quote(text)}"),
    "a body that the application leaves": json_body(lambda text: {"note": text}, "/shop/ignore"),
    "a body of an unlisted route": json_body(lambda text: {"note": text}, "/nothing/here"),
    "a crash over JSON": json_body(lambda text: {"note": text}, _CRASH),
    "a crash over text": body("text/plain", lambda text: f"here it is: {text}", _CRASH),
    "a crash over a query": target("/shop/crash?q={}", "POST"),
    "a crash over a header": header("X-Custom", _CRASH, "POST"),
    "an unknown field of a call": json_body(lambda text: {"name": "x", text: "y"}, _KEYS),
    "a wrong value of a call": json_body(lambda text: {"name": "x", "expires_at": text}, _KEYS),
    "a wrong id of a call": json_body(lambda text: {"role_ids": [text]}, f"{_KEYS}/{new_id()}/roles", "PUT"),
    "broken JSON of a call": body("application/json", lambda text: f'{{"name": {text}', _KEYS),
    "a broken head": broken("GET /roles HTTP/1.1\r\nHost: x\r\nUser-Agent: {}\r\nbroken line"),
    "a broken head's target": broken("GET /x?{} HTTP/9.9\r\nHost: x"),
    "a broken head's method": broken("{} /roles HTTP/1.1\r\nHost: x"),
    "a broken head's version": broken("GET /roles {}\r\nHost: x"),
    "a broken header's name": broken("GET /roles HTTP/1.1\r\nHost: x\r\n{} : x"),
    "a head of two lengths": broken(
        "POST /{0} HTTP/1.1\r\nUser-Agent: {0}\r\nX-API-Key: {0}\r\nContent-Length: 1\r\nContent-Length: 2"
    ),
    "what is no HTTP": broken("{}"),
}

LONG_PLACES: dict[str, Fill] = {
    "a long JSON text": json_body(lambda text: {"start": text, "fill": [_FILLER], "end": text}),
    "a long plain text": body("text/plain", lambda text: f"{text} {_FILLER} {text} {_FILLER} {text}"),
    "the end of what is kept": body("text/plain", lambda text: "word " * 13_103 + f"word {text} {_FILLER}"),
    "a long head": lambda text, caller: request(
        f"/{quote(text)}", headers=[*caller, ("User-Agent", _line(text)), ("X-Long", "a" * 66_000)]
    ),
    "a body over the limit, declared": lambda text, caller: request(
        f"{_COUNT}?{quote(text)}",
        "POST",
        [*caller, ("User-Agent", _line(text)), ("Content-Length", str(_OVER))],
        text.encode(),
    ),
    "a body over the limit, in chunks": in_chunks(
        _OVER, "text/plain", lambda text: f"{text} {_FILLER * (_OVER // len(_FILLER))} {_FILLER}"
    ),
    "a long header": lambda text, caller: request(
        "/roles", headers=[*caller, ("User-Agent", f"{_FILLER[:3_000]}{_line(text)}{_FILLER[:3_000]}{_line(text)}")]
    ),
}

LABELLED_PLACES: dict[str, Fill] = {
    name: fill
    for name, fill in PLACES.items()
    if name in {"the header User-Agent", "the header Cookie", "the header Referer", "plain text", "a crash over text"}
}
"""Where text is text, so that a label stands in it as written."""
