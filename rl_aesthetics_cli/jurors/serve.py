"""`juror serve` and `juror bench`: a juror as a service, and how fast it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rl_aesthetics.errors import UserError
from rl_aesthetics_cli.jurors.juror import app
from rl_aesthetics_cli.options import JurorName, JurorOptions, key_values

if TYPE_CHECKING:
    from rich.console import Console

    from juror_service.jurors.bench import Bench, Speed


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("JUROR_TOKEN") or None
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the token from {file}: {error}") from error
    if not token:
        raise UserError(f"{file} is empty; it should hold the token that clients send")
    return token


@app.command()
def serve(
    juror: JurorName = "pocket",
    option: JurorOptions = [],  # noqa: B006 - typer reads the default
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 5010,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the bearer token that clients must send; or set JUROR_TOKEN.", show_default=False),
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Listen on a public address without a token.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take, at most.")] = 30.0,
    max_batch: Annotated[int, typer.Option(min=1, help="Images that the juror computes in one go, at most.")] = 256,
    max_wait_ms: Annotated[
        float, typer.Option(min=0, help="How long a part-filled batch is held for callers about to come back, at most.")
    ] = 50.0,
    max_queue: Annotated[int, typer.Option(min=1, help="Images that may wait; more are refused with 429.")] = 4096,
    max_images: Annotated[int, typer.Option(min=1, help="Images in one request, at most.")] = 256,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, help="Pixels in one request, in millions, at most.")
    ] = 64.0,
    max_body_mb: Annotated[float, typer.Option(min=0.001, help="Size of one request, at most.")] = 32.0,
    max_requests: Annotated[int, typer.Option(min=1, help="Requests under way; more are refused with 429.")] = 256,
    cache: Annotated[
        int, typer.Option(min=0, help="Scores remembered by pixels, 150 bytes each; 0 is none.")
    ] = 100_000,
) -> None:
    """Score images over HTTP: POST /v1/score, /v1/score/ndarray and /v1/score/batch.

    Try it in a browser at /docs. /livez, /readyz and /health say how it is,
    /metrics is for Prometheus. Ctrl-C or SIGTERM finishes what was accepted
    and ends it. Trainings use it with juror.name=remote and
    juror.options.url=http://HOST:PORT.
    """
    from juror_service.http.app import ServiceSettings
    from juror_service.http.payload import PayloadLimits
    from juror_service.http.serve import serve as serve_http
    from juror_service.jurors.registry import load_juror

    options = key_values("--option", option)
    settings = ServiceSettings(
        token=_token(token_file),
        limits=PayloadLimits(int(max_body_mb * 1e6), int(max_megapixels * 1e6), max_images),
        timeout_s=timeout,
        max_requests=max_requests,
        cache_images=cache,
        batching={"max_batch_images": max_batch, "max_wait_s": max_wait_ms / 1000, "max_queue_images": max_queue},
    )
    serve_http(
        lambda: load_juror(juror, **options),
        settings,
        host=host,
        port=port,
        allow_anonymous=allow_anonymous,
        announce=typer.echo,
    )


@app.command()
def bench(
    juror: JurorName = "pocket",
    option: JurorOptions = [],  # noqa: B006 - typer reads the default
    batches: Annotated[str, typer.Option(help="Batch sizes to measure.")] = "1,8,32,128",
    devices: Annotated[
        str | None,
        typer.Option(help="PyTorch devices to compare, such as cpu,cuda:0; the juror's choice if left out."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure each.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per measurement, nothing else.")] = False,
) -> None:
    """Measure how many images a juror scores a second, by batch size and device, and the share of the device's peak.

    The peak of a GPU is its data sheet's; that of a CPU is what matrix
    products reach just before, in as many threads. The published
    architectures can be measured without their weights: --juror laion
    --option weights=random.
    """
    import dataclasses
    import json

    from rich.console import Console

    from juror_service.jurors.bench import Bench
    from juror_service.jurors.registry import load_juror

    try:
        sizes = [int(size) for size in batches.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise UserError(f"--batches {batches!r} are no batch sizes; write for example 1,8,32")
    options = key_values("--option", option)
    chosen = [{}] if devices is None else [{"device": device.strip()} for device in devices.split(",")]
    benches = [Bench(load_juror(juror, **options, **device)) for device in chosen]  # mistakes come before measurements
    for bench in benches:
        speeds = [bench.measure(size, seconds) for size in sizes]
        if as_json:
            facts: dict[str, Any] = {
                "juror": bench.scorer.fingerprint,
                "device": bench.device,
                "threads": bench.threads,
            }
            if bench.flops_per_image:
                facts |= {"flops_per_image": bench.flops_per_image, "peak": dataclasses.asdict(bench.peak)}
            for speed in speeds:
                typer.echo(json.dumps(facts | dataclasses.asdict(speed)))
        else:
            _show(bench, speeds, Console(highlight=False, soft_wrap=True))


def _show(bench: Bench, speeds: list[Speed], console: Console) -> None:
    from rich.table import Table

    threads = f", {bench.threads} thread{'s' * (bench.threads > 1)}" if bench.threads else ""
    console.print(f"{bench.scorer.fingerprint} on {bench.device}{threads}", markup=False)
    if bench.flops_per_image:
        console.print(
            f"{_with_unit(bench.flops_per_image)}FLOP an image; peak {_with_unit(bench.peak.flops_per_s)}FLOP/s "
            f"({bench.peak.source})",
            markup=False,
        )
    table = Table(box=None, pad_edge=False)
    for column in ("batch", "images/s", "ms p50", "ms p95", "of peak"):
        table.add_column(column, justify="right")
    for speed in speeds:
        digits = 0 if speed.images_per_s >= 10 else 2
        share = "unknown" if speed.share_of_peak is None else f"{speed.share_of_peak:.1%}"
        table.add_row(
            str(speed.batch),
            f"{speed.images_per_s:,.{digits}f}",
            f"{speed.ms_p50:.2f}",
            f"{speed.ms_p95:.2f}",
            share,
        )
    console.print(table)


def _with_unit(number: float) -> str:
    """`26542336` as `26.5 M`."""
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= factor:
            return f"{number / factor:,.3g} {unit}"
    return f"{number:,.0f} "
