"""Download one file: resumed when cut off, verified before anybody sees it."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import httpx

from rl_aesthetics.errors import Progress, UserError

ATTEMPTS = 6
_CHUNK = 1 << 16
_MB = 10**6
_TIMEOUT = httpx.Timeout(60, connect=10)  # seconds between two pieces of an answer, and to connect


class ConnectionLost(Exception):
    """An answer that did not come, or not whole; what there is of it is kept, and another attempt may get the rest."""


def download(
    url: str, target: Path, algorithm: str, digest: str, progress: Progress | None = None, backoff: float = 1.0
) -> Path:
    """Download `url` to `target` unless it is there already.

    What has arrived is kept as `target` with `.part` added. A connection that is lost is taken up where it broke, up to
    `ATTEMPTS` times with growing pauses; a later call goes on from there as well. The file gets its name only once its
    checksum is right, so a `target` that exists was verified.

    Args:
        algorithm: `sha256` or `md5`, of which `digest` is the hexadecimal checksum.
        backoff: seconds before the second attempt; doubles with each further one.

    Raises:
        UserError: the server refuses, the connection keeps breaking, or the checksum is wrong (the file is deleted).
    """
    if target.exists():
        return target
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(ATTEMPTS):
        try:
            _fetch_rest(url, part, progress)
            break
        except ConnectionLost as error:
            if attempt == ATTEMPTS - 1:
                got = part.stat().st_size if part.exists() else 0
                raise UserError(
                    f"{url} could not be downloaded in {ATTEMPTS} attempts ({_said(error)}); {got / 1e6:.1f} MB are"
                    " kept, run the same command again to go on"
                ) from error
            time.sleep(backoff * 2**attempt)
    actual = _digest(part, algorithm, progress)
    if actual != digest.lower():
        part.unlink()
        raise UserError(
            f"{url} has the wrong checksum: {algorithm} {actual}, expected {digest.lower()}; it was deleted. Try again;"
            " if it stays, the file on the server was changed"
        )
    part.rename(target)
    return target


def _fetch_rest(url: str, part: Path, progress: Progress | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # a range of a compressed answer would be no range of the file
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with httpx.stream("GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True) as answer:
            said = f"the server answered {answer.status_code} {answer.reason_phrase}"
            if answer.status_code == 416:  # nothing after what we have: complete, or not this file; the checksum tells
                return
            if answer.status_code >= 500 or answer.status_code == 429:
                raise ConnectionLost(said)
            if answer.status_code not in (200, 206):
                raise UserError(f"{url} cannot be downloaded: {said}")
            resumes = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if have and answer.status_code == 206 and not resumes:
                part.unlink()  # an answer to another question: start afresh
                raise ConnectionLost("the server sent another range than the one asked for")
            _write_rest(answer, part, have if resumes else 0, progress)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise UserError(f"{url} is not an address that can be downloaded from") from error
    except httpx.TooManyRedirects as error:
        raise UserError(f"{url} redirects without end") from error
    except httpx.TransportError as error:
        raise ConnectionLost(str(error) or type(error).__name__) from error
    except OSError as error:
        raise UserError(f"{part} cannot be written: {error.strerror}") from error


def _write_rest(answer: httpx.Response, part: Path, have: int, progress: Progress | None) -> None:
    length = answer.headers.get("Content-Length")
    total = have + int(length) if length else None
    with open(part, "ab" if have else "wb") as file:
        for piece in answer.iter_raw():  # as it arrives: nothing of it is lost when the connection is
            file.write(piece)
            have += len(piece)
            if progress:
                progress("downloading, MB", have // _MB, (total or have) // _MB)
    if total is not None and have < total:
        raise ConnectionLost(f"the connection closed after {have} of {total} bytes")


def _digest(path: Path, algorithm: str, progress: Progress | None) -> str:
    digest, done, total = hashlib.new(algorithm), 0, path.stat().st_size
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            done += len(piece)
            if progress:
                progress("verifying, MB", done // _MB, total // _MB)
    return digest.hexdigest()


def _said(error: Exception) -> str:
    return " ".join(str(error).split())
