# The MLflow server: nothing of the project is in it but the version that is tested.
FROM python:3.12.11-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 MLFLOW_DISABLE_TELEMETRY=true
RUN useradd --create-home --uid 1000 mlflow && mkdir /mlflow && chown mlflow:mlflow /mlflow
COPY constraints.txt /
RUN pip install -c /constraints.txt mlflow
USER 1000
WORKDIR /mlflow
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000"]
