"""`juror serve` and `juror bench`: a juror as a service, and how fast it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rl_aesthetics.cli.juror import app
from rl_aesthetics.cli.options import key_values
from rl_aesthetics.errors import UserError

JurorName = Annotated[str, typer.Option(help="Which juror, see `juror list`.")]
JurorOptions = Annotated[
    list[str],
    typer.Option("--option", metavar="KEY=VALUE", help="An option of the juror, such as threads=2; repeatable."),
]


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
    ] = 2.0,
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

    Try it in a browser at /docs. /livez, /readyz and /health say how it is, /metrics is for Prometheus. Ctrl-C or
    SIGTERM finishes what was accepted and ends it.
    """
    from juror_service.app import ServiceSettings
    from juror_service.jurors import load_juror
    from juror_service.payload import PayloadLimits
    from juror_service.serve import serve as serve_http

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
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure each.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per batch size, nothing else.")] = False,
) -> None:
    """Measure how many images a juror scores a second, by batch size, on this machine."""
    import dataclasses
    import json

    from rich.console import Console
    from rich.table import Table

    from juror_service.bench import measure
    from juror_service.jurors import load_juror

    try:
        sizes = [int(size) for size in batches.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise UserError(f"--batches {batches!r} are no batch sizes; write for example 1,8,32")
    scorer = load_juror(juror, **key_values("--option", option))
    speeds = measure(scorer, sizes, seconds)
    device = str(getattr(scorer, "device", "cpu"))
    if as_json:
        for speed in speeds:
            typer.echo(json.dumps({"juror": scorer.fingerprint, "device": device, **dataclasses.asdict(speed)}))
        return
    table = Table(title=f"{scorer.fingerprint} on {device}", box=None, pad_edge=False, title_justify="left")
    for column in ("batch", "images/s", "ms p50", "ms p95", "of peak"):
        table.add_column(column, justify="right")
    for speed in speeds:
        digits = 0 if speed.images_per_s >= 10 else 2
        share = "unknown" if speed.share_of_peak is None else f"{speed.share_of_peak:.0%}"
        table.add_row(
            str(speed.batch),
            f"{speed.images_per_s:,.{digits}f}",
            f"{speed.ms_p50:.2f}",
            f"{speed.ms_p95:.2f}",
            share,
        )
    Console().print(table)
