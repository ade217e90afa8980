"""Redaction of a request's body as it streams through, and what is kept of it."""

from __future__ import annotations

from typing import Final

import msgspec

from hatchpay.audit.redact.effort import Effort, Exhausted
from hatchpay.audit.redact.gate import is_plain_json
from hatchpay.audit.redact.json_stream import JsonStream
from hatchpay.audit.redact.running import RunningText
from hatchpay.audit.redact.sink import Sink
from hatchpay.audit.redact.text import FAILED

__all__ = ["BINARY", "BodyRedactor", "RedactedBody"]

BINARY: Final = "[binary, not kept]"
TOO_COSTLY: Final = "[dropped, too costly]"
"""Stands for the rest of a body that would take more work than its length may cause."""

_STEP: Final = 65_536
_SMALL: Final = 1_024
_EFFORT: Final = 8_000
_BOM: Final = b"\xef\xbb\xbf"
_JSON: Final = frozenset({"application/json", "text/json", "application/x-ndjson", "application/jsonl"})
_FORM: Final = "application/x-www-form-urlencoded"
_TEXT: Final = frozenset({"application/xml", "application/graphql", "application/javascript", "application/yaml"})
_CHARSETS: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252"})


class RedactedBody(msgspec.Struct, frozen=True):
    """What is kept of a body.

    `value` is JSON text, `size` the bytes received, `digest` a keyed fingerprint of all redacted bytes where more
    came than may be kept; `truncated` says that more than that were left after redaction, too.
    """

    value: bytes | None
    size: int
    digest: str | None
    truncated: bool


class BodyRedactor:
    """Takes a body piece by piece and holds at most a few hundred kilobytes of it."""

    def __init__(self, content_type: str, fingerprint_key: bytes, keep: int = 65_536) -> None:
        self._sink = Sink(fingerprint_key, keep)
        self._keep = keep
        self._form = _form_of(content_type)
        self._engine: JsonStream | RunningText | None = None
        self._buffer = bytearray()
        self._next_run = _STEP
        self._size = 0
        self._effort = Effort(_EFFORT)
        self._failed = False
        self._exhausted = False
        self._result: RedactedBody | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        self._size += len(chunk)
        if self._form == "binary":
            return
        for start in range(0, len(chunk), _STEP):
            if self._is_over():
                return
            self._buffer += chunk[start : start + _STEP]
            if len(self._buffer) > self._next_run:
                self._run(final=False)

    def _is_over(self) -> bool:
        return self._failed or self._exhausted or self._result is not None

    def finish(self) -> RedactedBody:
        """What is kept of the whole body; asking again gives the same."""
        if self._result is None:
            try:
                self._result = self._finish()
            except Exception:  # the body is dropped, never the record of the request
                self._result = self._marked(FAILED)
            self._buffer.clear()
        return self._result

    def _finish(self) -> RedactedBody:
        if not self._size:
            return RedactedBody(None, 0, None, False)
        if self._form == "binary":
            return self._marked(BINARY)
        if self._engine is None and self._form == "json" and self._size <= self._keep:
            body = bytes(self._buffer)
            if _plain_json(body):
                return RedactedBody(body, self._size, None, False)
        if not self._exhausted:
            self._run(final=True)
        if self._failed:
            return self._marked(FAILED)
        kept = self._sink.kept
        if self._sink.truncated:
            return RedactedBody(_as_string(kept), self._size, self._sink.digest, True)
        # A large body of which little is left after redaction is fingerprinted all the same.
        digest = self._sink.digest if self._size > self._keep else None
        if self._form == "json" and _is_json(kept):
            return RedactedBody(kept, self._size, digest, False)
        return RedactedBody(_as_string(kept), self._size, digest, False)

    def _run(self, *, final: bool) -> None:
        try:
            data = bytes(self._buffer)
            if self._engine is None:
                data = data.removeprefix(_BOM)
                if b"\x00" in data[:4]:
                    # UTF-16 or UTF-32 without a word about it: nothing here could look into it.
                    self._failed = True
                    return
                write = self._sink.write
                if self._form == "json":
                    self._engine = JsonStream(write, self._effort, doubted=final and self._size <= _SMALL)
                else:
                    self._engine = RunningText(write, self._effort, form=self._form == "form")
            rest = self._engine.run(data, final)
            self._buffer = bytearray(rest)
            self._next_run = len(rest) + _STEP
        except Exhausted:
            self._exhausted = True
            self._buffer.clear()
            self._sink.write(TOO_COSTLY.encode())
        except Exception:
            self._failed = True
            self._buffer.clear()

    def _marked(self, marker: str) -> RedactedBody:
        return RedactedBody(_as_string(marker.encode()), self._size, None, False)


def _form_of(content_type: str) -> str:
    media, _, parameters = content_type.lower().partition(";")
    media = media.strip()
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(" \"'") not in _CHARSETS:
            return "binary"
    if media in _JSON or media.endswith("+json"):
        return "json"
    if media == _FORM:
        return "form"
    if media.startswith("text/") or media in _TEXT or media.endswith("+xml"):
        return "text"
    return "binary"


def _plain_json(body: bytes) -> bool:
    try:
        plain = is_plain_json(body.decode("utf-8"))
    except UnicodeDecodeError:
        return False
    return plain and _is_json(body)


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _as_string(kept: bytes) -> bytes:
    return msgspec.json.encode(kept.decode("utf-8", "ignore"))
