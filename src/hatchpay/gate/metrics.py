"""Counters that the hot path only adds to, and the Prometheus text that is made of them when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hatchpay.audit.record import Record

__all__ = ["Gauges", "Metrics"]

_BUCKETS_US: Final = (
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
)
Gauges = Callable[[], Iterable[tuple[str, str, float]]]
"""Gives (name, help, value) of what is read at the moment of asking."""


class _Histogram:
    __slots__ = ("counts", "total_us")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS_US) + 1)
        self.total_us = 0

    def add(self, us: int) -> None:
        self.counts[bisect_left(_BUCKETS_US, us)] += 1
        self.total_us += us

    def family(self, name: str, help_text: str) -> HistogramMetricFamily:
        buckets, running = [], 0
        for bound, count in zip((*_BUCKETS_US, None), self.counts, strict=True):
            running += count
            buckets.append(("+Inf" if bound is None else str(bound / 1e6), running))
        return HistogramMetricFamily(name, help_text, buckets=buckets, sum_value=self.total_us / 1e6)


class Metrics(Collector):
    """`observe` takes every record, `observe_commit` the seconds that a group waited for the disk. `more` gives
    families that somebody else has made.
    """

    def __init__(self, gauges: Gauges, more: Callable[[], Iterable[Metric]] = tuple) -> None:
        self._gauges = gauges
        self._more = more
        self._requests: Counter[tuple[str, int | None]] = Counter()
        self._refusals: Counter[str] = Counter()
        self._durations = _Histogram()
        self._commits = _Histogram()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe(self, record: Record) -> None:
        self._requests[record.state, record.status] += 1
        self._durations.add(record.response_time_us)
        if record.state == "refused":
            self._refusals[record.reason] += 1

    def observe_commit(self, seconds: float) -> None:
        self._commits.add(int(seconds * 1e6))

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily("hatchpay_requests", "Requests by final state", labels=["state", "status"])
        for (state, status), count in self._requests.copy().items():
            requests.add_metric([state, str(status or "none")], count)
        yield requests
        refusals = CounterMetricFamily("hatchpay_refusals", "Refused requests by reason", labels=["reason"])
        for reason, count in self._refusals.copy().items():
            refusals.add_metric([reason], count)
        yield refusals
        yield self._durations.family("hatchpay_request_duration_seconds", "From a request's head to its record")
        yield self._commits.family("hatchpay_audit_commit_wait_seconds", "From queueing an entry to its commit")
        for name, help_text, value in self._gauges():
            yield GaugeMetricFamily(name, help_text, value)
        yield from self._more()

    def exposition(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self._registry)
