"""What the files of a run are called: everything that is written in one place and looked for in another.

TRAINING/agent.safetensors      the best agent by validation
TRAINING/checkpoints/           agents of the last epochs
TRAINING/config.yaml            the effective configuration
TRAINING/metrics.jsonl          one line an epoch
TRAINING/filmstrip.jsonl        what became of a few validation photos, one line a validation
TRAINING/pictures/              curves and filmstrip
TRAINING/state/                 what `--resume` goes on from, unless it lies elsewhere
TRAINING/mlflow_run.json        which run it was in MLflow
TRAINING/mlflow_spool.jsonl     what MLflow has not got yet

EVALUATION/summary.json         the numbers, written last: where it stands, the rest is whole
EVALUATION/results.csv          one row a photo
EVALUATION/report.html          everything on one page
EVALUATION/episodes.jsonl       every decision
EVALUATION/before_after/        pictures
EVALUATION/pictures/            charts and sheets

SWEEP/best.yaml                 for `train --config`
SWEEP/trials.json               what was tried and what came of it
SWEEP/trials/NAME/              a training each
"""

AGENT_FILE = "agent.safetensors"
EPOCH_AGENTS = "checkpoints"
CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.jsonl"
FILMSTRIP = "filmstrip.jsonl"
PICTURES = "pictures"
STATE = "state"
RUN_FILE, SPOOL_FILE = "mlflow_run.json", "mlflow_spool.jsonl"

SUMMARY, RESULTS, REPORT = "summary.json", "results.csv", "report.html"
TRAJECTORIES, BEFORE_AFTER = "episodes.jsonl", "before_after"

BEST_FILE, TRIALS_FILE, TRIALS = "best.yaml", "trials.json", "trials"


def epoch_agent(epoch: int) -> str:
    """The name of an epoch's agent in `EPOCH_AGENTS`; in the order of the epochs."""
    return f"epoch_{epoch:04d}.safetensors"
