"""Writes the Grafana dashboard from a table of panels: `make grafana`.

Every query uses names of `runtime/telemetry/table.py` alone, and the tests ask each of a
VictoriaMetrics that a small workload was sent to. A test says when the file is stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
FILE: Final = HERE / "trimtab.json"
COLUMNS: Final = 24
PER_ROW: Final = 3
HEIGHT: Final = 8
_STEPS: Final = '{playbook=~"$playbook", step=~"$step"}'
_BOOKS: Final = '{playbook=~"$playbook"}'


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph: its title, unit, and each query with its legend."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _quantile(q: float, metric: str, by: str, where: str) -> str:
    return (
        f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{where}"
        "[$__rate_interval])))"
    )


def _rate(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{where}[$__rate_interval]))"


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Runs": (
        Panel("Runs started", "reqps", (
            (_rate("trimtab_runs_started_total", "playbook", _BOOKS), "{{playbook}}"),)),
        Panel("Runs ended", "reqps", (
            (_rate("trimtab_runs_ended_total", "status", _BOOKS), "{{status}}"),)),
        Panel("How long a run takes", "s", (
            (_quantile(0.5, "trimtab_run_seconds", "playbook", _BOOKS), "{{playbook}} p50"),
            (_quantile(0.95, "trimtab_run_seconds", "playbook", _BOOKS), "{{playbook}} p95"))),
    ),
    "Attempts": (
        Panel("Attempts", "reqps", (
            (_rate("trimtab_attempts_total", "outcome", _STEPS), "{{outcome}}"),)),
        Panel("Errors", "reqps", (
            (_rate("trimtab_attempts_total", "class",
                   '{playbook=~"$playbook", step=~"$step", class!="none"}'), "{{class}}"),
            (_rate("trimtab_retries_total", "step", _STEPS), "{{step}} retried"))),
        Panel("Rows", "rowsps", (
            (_rate("trimtab_rows_total", "step, direction", _STEPS), "{{step}} {{direction}}"),)),
        Panel("Time in the tool", "s", (
            (_quantile(0.5, "trimtab_attempt_run_seconds", "step", _STEPS), "{{step}} p50"),
            (_quantile(0.99, "trimtab_attempt_run_seconds", "step", _STEPS), "{{step}} p99"))),
        Panel("Time in the queue", "s", (
            (_quantile(0.5, "trimtab_attempt_queue_seconds", "step", _STEPS), "{{step}} p50"),
            (_quantile(0.99, "trimtab_attempt_queue_seconds", "step", _STEPS), "{{step}} p99"))),
        Panel("Both", "s", (
            (_quantile(0.95, "trimtab_attempt_seconds", "step", _STEPS), "{{step}} p95"),)),
    ),
    "Money": (
        Panel("Cost an hour", "currencyUSD", (
            (f"3600 * {_rate('trimtab_cost_usd_total', 'step', _STEPS)}", "{{step}}"),)),
        Panel("Share of attempts without a price", "percentunit", (
            (f"sum(rate(trimtab_unpriced_attempts_total{_STEPS}[$__rate_interval])) / "
             f"sum(rate(trimtab_attempts_total{_STEPS}[$__rate_interval]))", "unpriced"),)),
        Panel("Products", "short", (
            (f"sum(increase(trimtab_products_published_total{_BOOKS}[$__range]))", "published"),
            (f"sum(increase(trimtab_checks_failed_total{_BOOKS}[$__range]))", "held back"))),
    ),
    "The loop": (
        Panel("Experiments", "short", (("sum(trimtab_experiments_live)", "live"),)),
        Panel("Proposals, answers", "short", (
            ("sum by (state) (increase(trimtab_proposals_moved_total[$__range]))", "{{state}}"),
            ("sum by (kind, answer) (increase(trimtab_approvals_total[$__range]))",
             "{{kind}} {{answer}}"))),
        Panel("Verdicts", "short", (
            ("sum by (verdict) (increase(trimtab_verdicts_total[$__range]))", "{{verdict}}"),)),
    ),
    "The server": (
        Panel("Work at hand", "short", (
            ("sum(trimtab_runs_live)", "runs"), ("sum(trimtab_attempts_ready)", "ready"),
            ("sum(trimtab_attempts_in_flight)", "in flight"))),
        Panel("Workers", "short", (
            ("sum by (state) (trimtab_workers)", "{{state}}"),
            ("sum(increase(trimtab_worker_restarts_total[$__range]))", "restarts"),
            ("sum(trimtab_poison_steps)", "poison steps"))),
        Panel("CPU", "percentunit", (
            ('rate(process_cpu_seconds_total{job=~"$job"}[$__rate_interval])', "server"),
            ("rate(trimtab_record_cpu_seconds_total[$__rate_interval])", "recorder"))),
        Panel("Memory", "bytes", (
            ('process_resident_memory_bytes{job=~"$job"}', "server"),
            ("trimtab_record_resident_memory_bytes", "recorder"))),
        Panel("Journal", "reqps", (
            ("sum(rate(trimtab_journal_events_total[$__rate_interval]))", "events"),
            ("sum(rate(trimtab_journal_commits_total[$__rate_interval]))", "commits"))),
        Panel("Disk", "bytes", (
            ("trimtab_disk_free_bytes", "free"), ("trimtab_journal_bytes", "journal"))),
    ),
    "The record": (
        Panel("Lag", "s", (
            ("max by (sink) (trimtab_record_lag_seconds)", "{{sink}}"),)),
        Panel("Behind by", "short", (
            ("max by (sink) (trimtab_record_lag_events)", "{{sink}}"),)),
        Panel("Recorded", "reqps", (
            (_rate("trimtab_record_events_total", "sink"), "{{sink}}"),)),
        Panel("Recorder", "short", (
            ("sum(trimtab_record_up)", "up"),
            ("sum by (sink) (trimtab_record_failing)", "{{sink}} failing"),
            ("sum(increase(trimtab_record_restarts_total[$__range]))", "restarts"))),
    ),
}  # fmt: skip
VARIABLES: Final = {
    "job": "label_values(trimtab_info, job)",
    "playbook": "label_values(trimtab_runs_started_total, playbook)",
    "step": 'label_values(trimtab_attempt_seconds_count{playbook=~"$playbook"}, step)',
}


def dashboard() -> str:
    """Return the dashboard as the JSON that Grafana imports."""
    from grafana_foundation_sdk.builders import dashboard as grafana
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    built = (
        grafana.Dashboard("Trimtab").uid("trimtab").tags(["trimtab"]).refresh("30s")
        .time("now-1h", "now").timezone("browser")
        .with_variable(grafana.DatasourceVariable("source").label("Source").type("prometheus"))
    )  # fmt: skip
    for name, query in VARIABLES.items():
        built.with_variable(_variable(name, query))
    top, number = 0, count(1)
    for title, panels in ROWS.items():
        built.with_row(grafana.Row(title).id(next(number)))
        top += 1
        for i, panel in enumerate(panels):
            built.with_panel(_graph(panel, i, top).id(next(number)))
        top += HEIGHT * -(-len(panels) // PER_ROW)
    return str(JSONEncoder(sort_keys=True, indent=1).encode(built.build())) + "\n"


def _variable(name: str, query: str) -> Any:
    from grafana_foundation_sdk.builders import dashboard as grafana
    from grafana_foundation_sdk.models.dashboard import VariableRefresh

    return (
        grafana.QueryVariable(name).label(name.capitalize()).datasource(_source()).query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).include_all(True).all_value(".*")
        .multi(True)
    )  # fmt: skip


def _graph(panel: Panel, i: int, top: int) -> Any:
    from grafana_foundation_sdk.builders import common, prometheus, timeseries
    from grafana_foundation_sdk.models.common import (
        LegendDisplayMode,
        LegendPlacement,
        TooltipDisplayMode,
    )
    from grafana_foundation_sdk.models.dashboard import GridPos

    width = COLUMNS // PER_ROW
    place = GridPos(h=HEIGHT, w=width, x=width * (i % PER_ROW), y=top + HEIGHT * (i // PER_ROW))
    graph = timeseries.Panel().title(panel.title).unit(panel.unit).datasource(_source())
    graph.grid_pos(place).min(0)
    graph.legend(
        common.VizLegendOptions().display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM).show_legend(True)
    ).tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))  # fmt: skip
    for letter, (query, legend) in zip("ABCDEF", panel.queries, strict=False):
        graph.with_target(prometheus.Dataquery().expr(query).legend_format(legend).ref_id(letter))
    return graph


def _source() -> Any:
    from grafana_foundation_sdk.models.dashboard import DataSourceRef

    return DataSourceRef(type_val="prometheus", uid="${source}")


if __name__ == "__main__":
    FILE.write_text(dashboard(), encoding="utf-8")
