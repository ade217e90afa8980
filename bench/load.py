"""A closed-loop HTTP/1.1 load: each connection sends its next request when the last is answered.

Run as a process of its own, so that it does not share an interpreter with what it measures; prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop


class Connection(asyncio.Protocol):
    """Counts answers while `Load.counting`; understands answers with a Content-Length, which the samples give."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        start = head.index(b"content-length: ") + 16
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        self._load.answered(int(self._buffer[9:12]), time.perf_counter() - self._sent)
        self._buffer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost += 1

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._load.request)


class Load:
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.counting = False
        self.latencies: list[float] = []
        self.statuses: dict[int, int] = {}
        self.lost = 0

    def answered(self, status: int, seconds: float) -> None:
        if self.counting:
            self.latencies.append(seconds)
            self.statuses[status] = self.statuses.get(status, 0) + 1


async def run(port: int, request: bytes, connections: int, warm_up_s: float, seconds: float) -> dict[str, Any]:
    load = Load(request)
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: Connection(load), "127.0.0.1", port) for _ in range(connections)]
    await asyncio.sleep(warm_up_s)
    load.counting = True
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    load.counting = False
    took = time.perf_counter() - began
    lost = load.lost
    for transport, _ in opened:
        transport.close()
    ordered = sorted(load.latencies)
    return {
        "per_second": len(ordered) / took,
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
        "statuses": load.statuses,
        "lost": lost,
    }


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    given["request"] = given["request"].encode()
    print(json.dumps(uvloop.run(run(**given))))
