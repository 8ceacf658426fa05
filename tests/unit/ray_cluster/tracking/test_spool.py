"""The file between training and MLflow, and what is decided before MLflow is asked. No server, no MLflow import."""

import json
import os
from pathlib import Path

import pytest

from ray_cluster.tracking.spool import Spool, spool_path
from ray_cluster.tracking.tracker import parameters, resolve_uri, upload
from rl_aesthetics.config.config import load_config
from rl_aesthetics.errors import UserError
from rl_aesthetics.files.redaction import without_login


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "run" / "mlflow_spool.jsonl")
    yield spool
    spool.close()


def contents(spool, start=0):
    return [line.content for line in spool.lines(start)]


def test_lines_come_back_in_the_order_in_which_they_were_appended(spool):
    for number in range(2000):
        spool.append({"record": "entries", "number": number, "text": "é" * 100})  # several read blocks
    assert [content["number"] for content in contents(spool)] == list(range(2000))


def test_reading_goes_on_where_a_line_ended(spool):
    for number in range(5):
        spool.append({"number": number})
    third = list(spool.lines())[2]
    spool.append({"number": 5})
    assert [content["number"] for content in contents(spool, third.end)] == [3, 4, 5]


def test_what_was_appended_survives_the_process(spool):
    spool.append({"value": float("nan"), "other": float("inf")})
    (line,) = spool.path.read_text().splitlines()  # without a close or flush
    assert str(json.loads(line)) == "{'value': nan, 'other': inf}"


def test_a_line_that_a_crash_cut_short_is_passed_over(tmp_path):
    path = tmp_path / "mlflow_spool.jsonl"
    path.write_text('{"number":1}\n{"numb')
    spool = Spool(path)
    spool.append({"number": 2})
    assert contents(spool) == [{"number": 1}, {"number": 2}]
    spool.close()


def test_a_run_that_still_goes_on_is_not_opened_twice(spool):
    with pytest.raises(UserError, match="still going on"):
        Spool(spool.path)


def test_who_closed_a_spool_leaves_it_to_the_next(spool):
    spool.append({"number": 1})
    lines = spool.lines()
    spool.close()
    other = Spool(spool.path)
    for use in (lambda: spool.append({"number": 2}), lambda: next(lines), spool.delete):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert contents(other) == [{"number": 1}]
    other.close()


def test_a_full_disk_is_not_kept_quiet():
    full = Spool(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        full.append({"number": 1})
    full.close()


def test_a_folder_that_cannot_be_written_is_the_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        Spool(tmp_path / "file" / "mlflow_spool.jsonl")


def test_a_kept_file_outlives_its_replacement_and_deletion(spool):
    agent = spool.path.parent / "agent.safetensors"
    agent.write_text("first")
    kept = spool.path.parent / spool.keep(agent)
    new = agent.with_suffix(".new")
    new.write_text("second")
    os.replace(new, agent)
    agent.unlink()
    assert kept.read_text() == "first"
    assert kept.name == "agent.safetensors"


def test_a_kept_folder_keeps_its_shape(spool, tmp_path):
    (tmp_path / "evaluation" / "images").mkdir(parents=True)
    (tmp_path / "evaluation" / "images" / "1.png").write_text("pixels")
    kept = spool.path.parent / spool.keep(tmp_path / "evaluation")
    assert (kept / "images" / "1.png").read_text() == "pixels"


def test_a_file_that_is_not_there_cannot_be_kept(spool):
    with pytest.raises(FileNotFoundError):
        spool.keep(spool.path.parent / "missing")


def test_released_and_deleted_spools_leave_nothing(spool):
    agent = spool.path.parent / "agent"
    agent.write_text("weights")
    kept = spool.keep(agent)
    spool.keep(agent)
    spool.release(kept)
    assert not (spool.path.parent / kept).exists()
    spool.delete()
    assert [path.name for path in spool.path.parent.iterdir()] == ["agent"]


def test_releasing_an_absolute_path_leaves_the_users_file_alone(spool, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("")
    spool.release(str(mine))
    assert mine.exists()


def test_a_run_names_its_folder_or_its_spool():
    assert spool_path(Path("runs/a")) == Path("runs/a/mlflow_spool.jsonl")
    assert spool_path(Path("runs/a/other.jsonl")) == Path("runs/a/other.jsonl")


def test_every_setting_is_a_parameter_under_its_dotted_name():
    flat = parameters(load_config(None, ["learner.max_minutes=2.5"]))
    assert flat["rl_training.training.gamma"] == "0.99"
    assert flat["rl_training.state.shape"] == "[3, 64, 64]"
    assert flat["rl_training.action_space.add_stop_action"] == "true"
    assert flat["learner.max_minutes"] == "2.5"
    assert flat["ray.address"] == "null"
    assert flat["learner.network.kind"] == "simple_cnn"


def test_parameters_hold_no_secrets():
    flat = parameters(
        load_config(
            None,
            [
                "juror.options={url: 'http://me:hush@juror:5010', api_key: hush, retries: 3}",
                "mlflow.tracking_uri=https://me:hush@mlflow.example",
            ],
        )
    )
    assert "hush" not in json.dumps(flat)
    assert flat["juror.options.url"] == "http://***@juror:5010"
    assert flat["juror.options.retries"] == "3"


def test_a_login_is_blotted_out_of_text():
    assert without_login("see http://a:b@host:5000/x, or http://host") == "see http://***@host:5000/x, or http://host"


def test_the_uri_is_the_setting_else_the_environment_else_a_database_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment:5000")
    assert resolve_uri("http://setting:5000") == "http://setting:5000"
    assert resolve_uri(None) == "http://environment:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert resolve_uri(None) == f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("")  # an old store, which would turn MLflow's own default
    assert resolve_uri(None) == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_store_in_a_folder_is_refused_at_once(uri):
    with pytest.raises(UserError, match="no longer records in folders"):
        resolve_uri(uri)


def test_a_database_in_a_missing_folder_is_refused_at_once(tmp_path):
    with pytest.raises(UserError, match="cannot write the MLflow database"):
        resolve_uri(f"sqlite:///{tmp_path}/missing/mlflow.db")


def test_uploading_a_folder_without_a_spool_says_so(tmp_path):
    with pytest.raises(UserError, match="nothing to upload"):
        upload(tmp_path)


def test_uploading_needs_the_login_that_was_not_written_down(spool, tmp_path):
    spool.append({"record": "run", "uri": "http://***@mlflow:5000"})
    spool.close()
    with pytest.raises(UserError, match="--tracking-uri"):
        upload(spool.path.parent)
