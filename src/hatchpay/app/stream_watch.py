"""Watches how far the streams are behind, beside the requests: for the metrics, and for an alarm in the log.

It reads what the shipper has stored and the ledger, so that it tells of a shipper that is not there as well.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from hatchpay.audit.stream.ports import StreamHealth
from hatchpay.audit.stream.row import StreamRow
from hatchpay.errors import HatchPayError

__all__ = ["StreamWatch"]

_log: Final = logging.getLogger("hatchpay.streams")
_EVERY_S: Final = 2.0
_LABELS: Final = ("stream", "tenant", "kind")


class StreamWatch:
    """`alarm_s` is how many seconds an enabled stream may be behind."""

    def __init__(
        self,
        streams: Callable[[], Sequence[StreamRow]],
        healths: Callable[[Sequence[StreamRow]], dict[str, StreamHealth]],
        alarm_s: int,
    ) -> None:
        self._streams = streams
        self._healths = healths
        self._alarm_s = alarm_s
        self._seen: list[tuple[StreamRow, StreamHealth]] = []
        self._late: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """The body of a thread. Raises nothing."""
        failing = False
        while not stop.is_set():
            try:
                self.step()
                failing = False
            except Exception as error:
                if not failing:
                    named = error.code if isinstance(error, HatchPayError) else type(error).__name__
                    _log.error("it is not known how far the streams are behind: %s", named)
                failing = True
            stop.wait(_EVERY_S)

    def step(self) -> None:
        """Look once. Raises AuditUnavailable, DirectoryUnavailable."""
        rows = self._streams()
        healths = self._healths(rows)
        self._seen = [(row, healths[row.id]) for row in rows]
        late = {row.id for row, health in self._seen if row.enabled and health.lag_seconds > self._alarm_s}
        for row, health in self._seen:
            if row.id in late - self._late:
                _log.warning(
                    "the stream %s of tenant %s is %d seconds behind; its last failure was %s",
                    row.id,
                    row.tenant_id,
                    health.lag_seconds,
                    health.last_error or "none",
                )
            elif row.id in self._late - late:
                _log.warning("the stream %s of tenant %s is no longer behind", row.id, row.tenant_id)
        self._late = late

    def metrics(self) -> Iterable[Metric]:
        """As of the last look."""
        seconds = GaugeMetricFamily(
            "hatchpay_stream_lag_seconds",
            "How long the oldest record to be sent has waited",
            labels=_LABELS,
        )
        records = GaugeMetricFamily("hatchpay_stream_lag_records", "Records that are to be sent", labels=_LABELS)
        stopped = GaugeMetricFamily(
            "hatchpay_stream_stopped", "1 where a stream is disabled, or nobody ships it", labels=_LABELS
        )
        delivered = CounterMetricFamily("hatchpay_stream_delivered_records", "Records delivered", labels=_LABELS)
        failures = CounterMetricFamily("hatchpay_stream_failures", "Tries that failed", labels=_LABELS)
        letters = CounterMetricFamily("hatchpay_stream_dead_letters", "Records given up", labels=_LABELS)
        for row, health in self._seen:
            labels = (row.id, row.tenant_id, row.kind)
            seconds.add_metric(labels, health.lag_seconds)
            records.add_metric(labels, health.lag_records)
            stopped.add_metric(labels, health.state == "stopped")
            delivered.add_metric(labels, health.delivered)
            failures.add_metric(labels, health.failed)
            letters.add_metric(labels, health.dead_letters)
        return [seconds, records, stopped, delivered, failures, letters]
