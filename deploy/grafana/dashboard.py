#!/usr/bin/env python3
"""Writes the Grafana dashboard to standard output: deploy/grafana/dashboard.py > …/order-pipeline.json

The pipeline from left to right in six columns (gateway, RabbitMQ, bridge, persister, indexer,
scheduler), from top to bottom in each: tiles, rates, latencies, saturation, errors. All of it fits
on one screen; the processes are in a row below that is folded.
"""

import json
import sys

COLUMN_WIDTH = 4  # of Grafana's 24
TILE_HEIGHT, PANEL_HEIGHT = 3, 5
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}

# In the queue, and in the archive, which every scheduler counts.
DEAD_LETTERS = (
    '(sum(max without (instance, pod) (dead_letters{state="dead"})) or vector(0))'
    " + (sum(max by (queue) (dead_letter_queue_messages)) or vector(0))"
)


def per_second(selector, by=None):
    return f"sum{f' by ({by})' if by else ''} (rate({selector}[$__rate_interval]))"


def quantiles(histogram, what="", selector=""):
    """The median and the 99th percentile of a histogram over all replicas."""
    buckets = per_second(f"{histogram}_bucket{selector}", "le")
    return [
        (f"histogram_quantile({q}, {buckets})", f"{what}{name}") for q, name in ((0.5, "p50"), (0.99, "p99"))
    ]


def mean(histogram, selector=""):
    return f"{per_second(f'{histogram}_sum{selector}')} / {per_second(f'{histogram}_count{selector}')}"


def worker_column(job):
    selector = f'{{job="{job}"}}'
    not_done = f'worker_orders_total{{job="{job}",outcome!="done"}}'
    return [
        [
            ("Orders/s", "reqps", f"pipeline:orders_{job.removesuffix('er')}ed:rate1m"),
            ("Ready", "none", f"sum(service_ready{selector})"),
        ],
        (
            "Orders done per second",
            "reqps",
            [
                (
                    per_second(f'worker_orders_total{{job="{job}",outcome="done"}}', "instance"),
                    "{{instance}}",
                ),
            ],
        ),
        ("Time for a batch", "s", quantiles("worker_batch_seconds", "", selector)),
        (
            "Orders held, batch sizes",
            "none",
            [
                (f"sum(worker_orders_held{selector})", "held"),
                (mean("worker_batch_orders", selector), "mean batch"),
                (f"max(worker_batch_max_orders{selector})", "largest allowed"),
            ],
        ),
        (
            "Orders not done per second",
            "reqps",
            [(per_second(not_done, "outcome, code"), "{{outcome}} {{code}}")],
        ),
    ]


# A column: tiles (title, unit, query), then panels (title, unit, [(query, legend)]).
COLUMNS = {
    "Gateway": [
        [
            ("Accepted/s", "reqps", "pipeline:orders_accepted:rate1m"),
            ("Cache hits", "percentunit", "pipeline:order_cache_hits:ratio_rate5m"),
        ],
        ("Requests per second", "reqps", [(per_second("http_requests_total", "route"), "{{route}}")]),
        (
            "Latency, 99th percentile",
            "s",
            [
                (
                    "histogram_quantile(0.99, "
                    + per_second("http_request_duration_seconds_bucket", "route, le")
                    + ")",
                    "{{route}}",
                ),
                (
                    "histogram_quantile(0.99, "
                    + per_second("redis_command_duration_seconds_bucket", "le")
                    + ")",
                    "Redis",
                ),
                (
                    "histogram_quantile(0.99, "
                    + per_second('db_query_duration_seconds_bucket{job="gateway"}', "operation, le")
                    + ")",
                    "PostgreSQL {{operation}}",
                ),
            ],
        ),
        (
            "Requests in flight, publish window",
            "none",
            [
                ("sum(http_requests_in_flight)", "requests"),
                ("sum(http_connections)", "connections"),
                ('sum(publisher_outstanding{job="gateway"})', "unconfirmed"),
                ('sum(publisher_window{job="gateway"})', "window"),
            ],
        ),
        (
            "Failures per second",
            "reqps",
            [
                (
                    per_second('http_requests_total{status=~"5..|lost|other"}', "route, status"),
                    "{{route}} {{status}}",
                ),
                (per_second("redis_errors_total") + " + " + per_second("redis_timeouts_total"), "Redis"),
                (per_second("db_query_failures_total", "operation"), "PostgreSQL {{operation}}"),
                (per_second("order_outcomes_unknown_total"), "outcome unknown"),
            ],
        ),
    ],
    "RabbitMQ": [
        [
            ("Waiting", "none", "sum(max by (queue) (order_queue_messages))"),
            ("Dead letters", "none", DEAD_LETTERS),
        ],
        (
            "Orders per second",
            "reqps",
            [
                ("pipeline:orders_accepted:rate1m", "accepted"),
                ("pipeline:orders_confirmed:rate1m", "confirmed"),
                (per_second("bridge_delivered_total"), "taken by bridges"),
                (per_second("outbox_relayed_total"), "of these from the outbox"),
            ],
        ),
        (
            "Confirm; wait in the queue",
            "s",
            [
                *quantiles("publisher_confirm_seconds", "confirm ", '{job="gateway"}'),
                *quantiles("bridge_queue_seconds", "wait "),
            ],
        ),
        (
            "Queue and outbox",
            "none",
            [
                ("max by (queue) (order_queue_messages)", "{{queue}}"),
                (DEAD_LETTERS, "dead letters"),
                ("max(outbox_orders)", "outbox"),
                ("max(outbox_oldest_age_seconds)", "outbox: oldest, s"),
                ("max by (queue) (order_queue_consumers)", "bridges: {{queue}}"),
            ],
        ),
        (
            "Not confirmed, reconnects per second",
            "reqps",
            [
                (per_second("publisher_nacked_total"), "nacked"),
                (per_second("publisher_returned_total"), "returned"),
                (per_second("publisher_republished_total"), "published again"),
                (per_second("publisher_unknown_total"), "unknown"),
                (per_second("publisher_connects_total", "job"), "connects: {{job}}"),
                (per_second("outbox_failures_total"), "outbox failures"),
            ],
        ),
    ],
    "Bridge": [
        [
            ("Backlog", "s", "pipeline:backlog_seconds"),
            ("Window used", "percentunit", "sum(bridge_in_flight) / sum(bridge_window)"),
        ],
        (
            "Orders per second",
            "reqps",
            [
                ("pipeline:orders_persisted:rate1m", "persisted"),
                ("pipeline:orders_indexed:rate1m", "indexed"),
                (per_second("bridge_acked_total"), "acknowledged"),
            ],
        ),
        (
            "Age when persisted, when indexed",
            "s",
            [
                *quantiles("bridge_order_age_seconds", "persisted ", '{stage="persist"}'),
                *quantiles("bridge_order_age_seconds", "indexed ", '{stage="index"}'),
            ],
        ),
        (
            "Orders in flight",
            "none",
            [
                ("sum by (stage) (bridge_waiting_orders)", "{{stage}}: wait for a worker"),
                ("sum by (stage) (bridge_orders_at_workers)", "{{stage}}: at workers"),
                ("sum by (stage) (bridge_held_orders)", "{{stage}}: wait for a retry"),
                ("sum(bridge_window)", "window"),
            ],
        ),
        (
            "Retries, dead letters per second",
            "reqps",
            [
                (
                    per_second('bridge_outcomes_total{outcome="retry"}', "stage, code"),
                    "retry {{stage}} {{code}}",
                ),
                (per_second("bridge_dead_letters_total", "reason"), "dead {{reason}}"),
                (per_second("bridge_requeued_total", "reason"), "requeued {{reason}}"),
                (per_second("bridge_intake_losses_total"), "connections lost"),
            ],
        ),
    ],
    "Persister → PostgreSQL": worker_column("persister"),
    "Indexer → Elasticsearch": worker_column("indexer"),
    "Scheduler → sales dashboard": [
        [
            ("Refreshed", "dateTimeFromNow", "max(scheduler_last_success_timestamp_seconds) * 1000"),
            ("Next run", "dateTimeFromNow", "max(scheduler_next_run_timestamp_seconds) * 1000"),
        ],
        (
            "Attempts in an hour",
            "none",
            [("sum by (result) (increase(scheduler_attempts_total[1h]))", "{{result}}")],
        ),
        (
            "Duration of a refresh",
            "s",
            quantiles("db_query_duration_seconds", "", '{operation="refresh_mv"}'),
        ),
        (
            "Overdue, requests",
            "none",
            [
                ("min(scheduler_due_timestamp_seconds > bool 0)", "a run is due"),
                ("max(scheduler_requests_waiting)", "requests that wait"),
            ],
        ),
        (
            "Failures per second",
            "reqps",
            [
                (per_second('scheduler_attempts_total{result="failed"}'), "failed refreshes"),
            ],
        ),
    ],
}

PROCESSES = [
    ("Ready", "none", [("service_ready", "{{job}} {{instance}}")]),
    ("CPU", "percentunit", [("rate(process_cpu_seconds_total[$__rate_interval])", "{{job}} {{instance}}")]),
    ("Memory", "bytes", [("process_resident_memory_bytes", "{{job}} {{instance}}")]),
    ("File descriptors", "percentunit", [("process_open_fds / process_max_fds", "{{job}} {{instance}}")]),
    (
        "Dependencies lost in an hour",
        "none",
        [
            ("sum by (job, dependency) (increase(dependency_failures_total[1h]))", "{{job}}: {{dependency}}"),
        ],
    ),
    (
        "Versions",
        "none",
        [("count by (service, version) (order_pipeline_build_info)", "{{service}} {{version}}")],
    ),
]


def targets(queries):
    return [
        {"refId": chr(ord("A") + i), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
        for i, (expr, legend) in enumerate(queries)
    ]


def tile(title, unit, expr, x, y):
    limits = [{"color": "green", "value": None}]
    if title == "Dead letters":
        limits.append({"color": "red", "value": 1})
    elif title == "Ready":
        limits = [{"color": "red", "value": None}, {"color": "green", "value": 1}]
    return {
        "type": "stat",
        "title": title,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": COLUMN_WIDTH // 2, "h": TILE_HEIGHT},
        "targets": [target | {"instant": True} for target in targets([(expr, "")])],
        "fieldConfig": {
            "defaults": {"unit": unit, "decimals": 0, "thresholds": {"mode": "absolute", "steps": limits}},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"},
    }


def graph(title, unit, queries, x, y):
    return {
        "type": "timeseries",
        "title": title,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": COLUMN_WIDTH, "h": PANEL_HEIGHT},
        "targets": targets(queries),
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "min": 0,
                "custom": {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never"},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def row(title, y, panels):
    place = {"x": 0, "y": y, "w": 24, "h": 1}
    return {"type": "row", "title": title, "gridPos": place, "collapsed": bool(panels), "panels": panels}


def panels():
    result = [row("  ·  ".join(COLUMNS) + "      (from left to right)", 0, [])]
    for number, (name, (tiles, *graphs)) in enumerate(COLUMNS.items()):
        x, y = number * COLUMN_WIDTH, 1
        for i, (title, unit, expr) in enumerate(tiles):
            result.append(tile(title, unit, expr, x + i * COLUMN_WIDTH // 2, y))
        for i, (title, unit, queries) in enumerate(graphs):
            title = f"{name}: {title}" if i == 0 else title
            result.append(graph(title, unit, queries, x, y + TILE_HEIGHT + i * PANEL_HEIGHT))
    bottom = 1 + TILE_HEIGHT + 4 * PANEL_HEIGHT
    folded = [graph(*panel, i * COLUMN_WIDTH, bottom + 1) for i, panel in enumerate(PROCESSES)]
    return [*result, row("Processes", bottom, folded)]


def numbered(all_panels):
    number = 0
    for panel in all_panels:
        for each in (panel, *panel.get("panels", [])):
            number += 1
            each["id"] = number
    return all_panels


def dashboard():
    return {
        "uid": "order-pipeline",
        "title": "Order pipeline",
        "schemaVersion": 38,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": numbered(panels()),
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
