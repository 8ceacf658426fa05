import pytest
import ray
import torch
from mlflow import MlflowClient


@pytest.fixture(scope="module")
def cluster():
    """Ray on two CPUs, one for all tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        torch.set_num_threads(1)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def mlflow_database(tmp_path_factory):
    """One MLflow for all trainings of a module, as making its tables takes seconds."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    MlflowClient(uri).search_experiments()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        yield
