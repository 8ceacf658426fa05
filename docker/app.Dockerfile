# Ray head and worker, juror service and studio: one image, several commands. docker-compose.yml builds it.
#   docker build -f docker/app.Dockerfile --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
FROM python:3.12.11-slim-bookworm

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0 MLFLOW_DISABLE_TELEMETRY=true

RUN useradd --create-home --uid 1000 ray \
    && mkdir /data /ray /app && chown ray:ray /data /ray /app
WORKDIR /app

# PyTorch first, in a layer of its own: it is the largest part and changes the least.
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install -c constraints.txt --index-url "$TORCH_INDEX" torch
COPY rl_aesthetics rl_aesthetics
COPY juror_service juror_service
COPY ray_cluster ray_cluster
COPY rl_aesthetics_cli rl_aesthetics_cli
COPY configs configs
RUN pip install -c constraints.txt '.[samples,transformers]'

# Named in MLflow and in a job's metadata; the image has no git checkout. Last, as it changes with every build.
ARG REVISION=
ENV RL_AESTHETICS_REVISION=$REVISION
USER 1000
ENTRYPOINT []
CMD ["rl-aesthetics", "--help"]
