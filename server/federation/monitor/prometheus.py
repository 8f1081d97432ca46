"""The federation for Prometheus: its text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from server.federation.monitor.snapshot import SiteView, View
from server.federation.runs.run_folder import RUNNING

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]
Samples = list[tuple[Labels, float | None]]


@dataclass(frozen=True)
class Metric:
    """A metric: samples without a value are left out, and a metric without samples too."""

    name: str
    kind: str
    help: str
    samples: Samples


def exposition(view: View) -> str:
    """All that is known of the federation now, as Prometheus reads it."""
    lines: list[str] = []
    for metric in (*_federation(view), *_run(view), *_sites(view)):
        told = [(labels, value) for labels, value in metric.samples if value is not None]
        if told:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
            lines += [f"{metric.name}{_labels(labels)} {value:.10g}" for labels, value in told]
    return "\n".join([*lines, ""])


def _federation(view: View) -> Iterator[Metric]:
    yield Metric("fedser_superlink_up", "gauge", "Whether the SuperLink answers.", [((), float(view.up))])
    yield Metric("fedser_sites_online", "gauge", "Sites that are online.", [((), view.online)])
    yield Metric("fedser_sites", "gauge", "Sites that are not revoked.", [((), view.expected)])


def _run(view: View) -> Iterator[Metric]:
    run = view.run
    if run is None:
        return
    own: Labels = (("run", run.name),)
    heard = run.heard.timestamp() if run.heard else None
    yield Metric("fedser_run_active", "gauge", "Whether the newest run goes on.", [(own, run.state == RUNNING)])
    yield Metric("fedser_round", "gauge", "The last complete round.", [(own, run.round)])
    yield Metric("fedser_rounds", "gauge", "Rounds in all.", [(own, run.rounds)])
    yield Metric("fedser_round_seconds", "gauge", "What the last round took.", [(own, run.round_seconds)])
    yield Metric("fedser_round_timestamp_seconds", "gauge", "When the last round was complete.", [(own, heard)])
    yield Metric("fedser_validation_uar", "gauge", "UAR on the validation speakers.", [(own, run.last_uar)])
    yield Metric("fedser_test_uar", "gauge", "UAR on the held-out speakers, at the end.", [(own, run.test_uar)])


def _sites(view: View) -> Iterator[Metric]:
    def of_sites(name: str, kind: str, about: str, figure: str) -> Metric:
        return Metric(name, kind, about, [((("site", site.name),), _figure(site, figure)) for site in view.sites])

    yield of_sites("fedser_site_online", "gauge", "Whether the site is online.", "online")
    yield of_sites("fedser_site_last_seen_timestamp_seconds", "gauge", "When it last was.", "last_seen")
    yield of_sites("fedser_site_round", "gauge", "The last round that it took part in.", "answered")
    yield of_sites("fedser_site_examples", "gauge", "What it trained on in that round.", "examples")
    yield of_sites("fedser_site_seconds", "gauge", "What its training took in that round.", "seconds")
    yield of_sites("fedser_site_validation_uar", "gauge", "UAR on its validation speakers.", "uar")
    yield of_sites("fedser_site_bytes_total", "counter", "What it has sent in the newest run.", "bytes_total")
    yield of_sites("fedser_site_epsilon", "gauge", "What it says that the run has spent.", "epsilon")
    yield of_sites("fedser_site_epsilon_all_runs", "gauge", "What it says that all runs have spent.", "epsilon_total")
    yield of_sites("fedser_site_epsilon_budget", "gauge", "What it says that all runs may spend.", "budget")


def _figure(site: SiteView, name: str) -> float | None:
    if name == "last_seen":
        return site.last_seen.timestamp() if site.last_seen else None
    value = getattr(site, name)
    return None if value is None else float(value)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
