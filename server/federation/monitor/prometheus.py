"""The federation for Prometheus: what is known of it now, read anew for each answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from server.federation.monitor.snapshot import SiteView, View
from server.federation.runs.run_folder import RUNNING

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_GAUGES = {
    "fedser_site_online": ("Whether the site is online.", "online"),
    "fedser_site_last_seen_timestamp_seconds": ("When it last was.", "last_seen"),
    "fedser_site_round": ("The last round that it took part in.", "answered"),
    "fedser_site_examples": ("What it trained on in that round.", "examples"),
    "fedser_site_seconds": ("What its training took in that round.", "seconds"),
    "fedser_site_validation_uar": ("UAR on its validation speakers.", "uar"),
    "fedser_site_epsilon": ("What it says that the run has spent.", "epsilon"),
    "fedser_site_epsilon_all_runs": (
        "What it says that all runs have spent of its budget, for the budget's unit.",
        "epsilon_total",
    ),
    "fedser_site_epsilon_budget": ("What it says that all runs may spend, for the budget's unit.", "budget"),
}


def exposition(view: View) -> str:
    """All that is known of the federation now, as Prometheus reads it; what is not known is left out."""
    registry = CollectorRegistry()
    registry.register(_Known(view))
    return generate_latest(registry).decode()


class _Known(Collector):
    """The metrics of which something is known."""

    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        return (metric for metric in _metrics(self._view) if metric.samples)


def _metrics(view: View) -> Iterator[Metric]:
    yield _gauge("fedser_superlink_up", "Whether the SuperLink answers.", view.up)
    yield _gauge("fedser_sites_online", "Sites that are online.", view.online)
    yield _gauge("fedser_sites", "Sites that are not revoked.", view.expected)
    yield from _run(view)
    for name, (about, figure) in _GAUGES.items():
        yield _filled(GaugeMetricFamily(name, about, labels=["site"]), _figures(view, figure))
    sent = CounterMetricFamily("fedser_site_bytes_total", "What it has sent in the newest run.", labels=["site"])
    yield _filled(sent, _figures(view, "bytes_total"))


def _run(view: View) -> Iterator[Metric]:
    run = view.run
    if run is None:
        return
    heard = run.heard.timestamp() if run.heard else None
    yield _gauge("fedser_run_active", "Whether the newest run goes on.", run.state == RUNNING, run.name)
    yield _gauge("fedser_round", "The last complete round.", run.round, run.name)
    yield _gauge("fedser_rounds", "Rounds in all.", run.rounds, run.name)
    yield _gauge("fedser_round_seconds", "What the last round took.", run.round_seconds, run.name)
    yield _gauge("fedser_round_timestamp_seconds", "When the last round was complete.", heard, run.name)
    yield _gauge("fedser_validation_uar", "UAR on the validation speakers.", run.last_uar, run.name)
    yield _gauge("fedser_test_uar", "UAR on the held-out speakers, at the end.", run.test_uar, run.name)


def _gauge(name: str, about: str, value: float | None, run: str | None = None) -> Metric:
    metric = GaugeMetricFamily(name, about, labels=[] if run is None else ["run"])
    if value is not None:
        metric.add_metric([] if run is None else [run], value)
    return metric


def _filled(metric: CounterMetricFamily | GaugeMetricFamily, figures: Mapping[str, float | None]) -> Metric:
    for site, value in figures.items():
        if value is not None:
            metric.add_metric([site], value)
    return metric


def _figures(view: View, name: str) -> dict[str, float | None]:
    return {site.name: _figure(site, name) for site in view.sites}


def _figure(site: SiteView, name: str) -> float | None:
    if name == "last_seen":
        return site.last_seen.timestamp() if site.last_seen else None
    value: float | None = getattr(site, name)
    return value
