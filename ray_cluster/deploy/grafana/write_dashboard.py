"""Write the Grafana dashboard of a training.

    python ray_cluster/deploy/grafana/write_dashboard.py

Each line of `PANELS` is a panel; `tests/integration/test_dashboard.py` asks a real Prometheus each of their queries.
"""

from __future__ import annotations

import json
from pathlib import Path

PANELS = (
    ("Environment steps a second", "short", 'sum by (run) (rate(ray_rl_env_steps_total{run=~"$run"}[1m]))'),
    ("Transitions trained a second", "short", 'sum by (run) (rate(ray_rl_trained_total{run=~"$run"}[1m]))'),
    ("Trained for each sampled", "short", 'max by (run) (ray_rl_samples_per_insert{run=~"$run"})'),
    ("Share of random actions (epsilon)", "percentunit", 'max by (run) (ray_rl_epsilon{run=~"$run"})'),
    ("Improved, training", "percentunit", 'max by (run) (ray_rl_train_success_rate{run=~"$run"})'),
    ("Improved, validation", "percentunit", 'max by (run) (ray_rl_val_success_rate{run=~"$run"})'),
    ("Replay buffer filled", "percentunit", 'max by (run) (ray_rl_replay_fill{run=~"$run"})'),
    ("Rollout workers that answer", "short", 'sum by (run) (ray_rl_rollout_workers{run=~"$run"})'),
    ("Rollout worker restarts", "short", 'max by (run) (ray_rl_worker_restarts{run=~"$run"})'),
    ("Episodes a second", "short", 'sum by (run) (rate(ray_rl_episodes_total{run=~"$run"}[1m]))'),
    (
        "Episodes dropped a second",
        "short",
        (
            'sum by (run) (rate(ray_rl_dropped_episodes_total{run=~"$run"}[1m]))'
            ' or 0 * sum by (run) (rate(ray_rl_episodes_total{run=~"$run"}[1m]))'
        ),
    ),
    (
        "Scores known already",
        "percentunit",
        (
            'sum by (run) (rate(ray_rl_score_hits_total{run=~"$run"}[1m]))'
            ' / sum by (run) (rate(ray_rl_score_lookups_total{run=~"$run"}[1m]))'
        ),
    ),
    ("Images that wait at a juror", "short", 'max by (run, juror) (ray_rl_juror_queue_images{run=~"$run"})'),
    ("Images in a batch", "short", 'max by (run, juror) (ray_rl_juror_batch_images{run=~"$run"})'),
    ("Wait for a batch, 95th percentile", "ms", 'max by (run, juror) (ray_rl_juror_wait_ms_p95{run=~"$run"})'),
    ("Inference, median", "ms", 'max by (run, juror) (ray_rl_juror_inference_ms_p50{run=~"$run"})'),
    ("Inference, 95th percentile", "ms", 'max by (run, juror) (ray_rl_juror_inference_ms_p95{run=~"$run"})'),
    (
        "Juror's answer to a health check, 95th percentile",
        "ms",
        'histogram_quantile(0.95, sum by (run, le) (rate(ray_rl_juror_health_ms_bucket{run=~"$run"}[5m])))',
    ),
    ("Juror busy", "percentunit", 'max by (run, juror) (ray_rl_juror_busy_share{run=~"$run"})'),
    ("Age of the last checkpoint", "s", 'max by (run) (ray_rl_checkpoint_age_seconds{run=~"$run"})'),
    ("Checkpoints that failed", "short", 'max by (run) (ray_rl_failed_checkpoints{run=~"$run"})'),
    ("CPU of the machines", "percent", "avg by (instance) (ray_node_cpu_utilization)"),
    ("Memory of the machines", "bytes", "max by (instance) (ray_node_mem_used)"),
    ("Object store", "bytes", "sum by (instance) (ray_object_store_memory)"),
)
"""Title, unit, query."""

FILE = Path(__file__).parent / "dashboards" / "training.json"


def dashboard() -> dict:
    """The dashboard as Grafana imports it."""
    source = {"type": "prometheus", "uid": "prometheus"}
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": title,
            "datasource": source,
            "gridPos": {"x": 8 * (number % 3), "y": 7 * (number // 3), "w": 8, "h": 7},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "targets": [{"refId": "A", "datasource": source, "expr": query, "legendFormat": "__auto"}],
        }
        for number, (title, unit, query) in enumerate(PANELS)
    ]
    run = {
        "name": "run",
        "label": "Run",
        "type": "query",
        "datasource": source,
        "query": {"query": "label_values(ray_rl_replay_fill, run)", "refId": "run"},
        "includeAll": True,
        "allValue": ".+",
        "multi": True,
        "refresh": 2,
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "uid": "rl-aesthetics-training",
        "title": "rl-aesthetics: training",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [run]},
        "panels": panels,
    }


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(dashboard(), indent=1) + "\n")
