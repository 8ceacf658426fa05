"""What `juror serve` and `juror bench` say to mistakes, and what `bench` prints."""

import json

import pytest
from tiny_releases import write_release
from typer.testing import CliRunner

from juror_service.jurors.laion import RELEASES
from rl_aesthetics.errors import UserError
from rl_aesthetics_cli.jurors import serve

SERVE, BENCH = ["serve", "--port", "0"], ["bench", "--seconds", "0.1"]


def run(*arguments):
    return CliRunner().invoke(serve.app, arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([*SERVE, "--option", "threads"], "is not KEY=VALUE"),
        ([*SERVE, "--option", "threads={"], "cannot be read"),
        ([*SERVE, "--host", "0.0.0.0"], "no token"),
        ([*SERVE, "--token-file", "/nowhere/token"], "cannot read the token"),
        ([*BENCH, "--batches", "eight"], "no batch sizes"),
        ([*BENCH, "--batches", "0"], "no batch sizes"),
        ([*BENCH, "--devices", "cuda:0"], "no option 'device'"),
    ],
)
def test_a_mistake_is_one_clear_line(monkeypatch, arguments, match):
    monkeypatch.delenv("JUROR_TOKEN", raising=False)
    result = run(*arguments)
    assert isinstance(result.exception, UserError), result.output
    assert match in str(result.exception)
    assert "\n" not in str(result.exception)


def test_an_empty_token_file_does_not_mean_no_token(tmp_path):
    (tmp_path / "token").write_text(" \n")
    result = run(*SERVE, "--token-file", str(tmp_path / "token"))
    assert "is empty" in str(result.exception)


def test_bench_prints_a_row_for_each_batch_size():
    rows = [json.loads(line) for line in run(*BENCH, "--batches", "1,4", "--json").output.splitlines()]
    assert [row["batch"] for row in rows] == [1, 4]
    assert all(row["images_per_s"] > 0 and row["ms_p95"] >= row["ms_p50"] > 0 for row in rows)
    table = run(*BENCH, "--batches", "2").output
    for shown in ("pocket:", "on cpu", "FLOP an image", "matrix product", "images/s", "of peak", "%"):
        assert shown in table


def test_bench_compares_devices_of_a_juror_that_can_choose(tmp_path):
    write_release(tmp_path, RELEASES["mlp"])
    tiny = ("--juror", "laion", "--option", f"weights={tmp_path}", "--batches", "1", "--json", "--devices")
    rows = [json.loads(line) for line in run(*BENCH, *tiny, "cpu,cpu:0").output.splitlines()]
    assert [row["device"] for row in rows] == ["cpu", "cpu:0"]
    result = run(*BENCH, *tiny, "cpu,nowhere:0")
    assert "cannot run on device 'nowhere:0'" in str(result.exception)
    assert not result.output  # mistakes are told before anything is measured
