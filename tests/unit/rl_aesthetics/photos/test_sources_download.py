"""Downloads against a real server that cuts off, refuses and lies; archives that try to climb out."""

import contextlib
import hashlib
import http.server
import io
import stat
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from rl_aesthetics.errors import UserError
from rl_aesthetics.photos.sources.archive import extract
from rl_aesthetics.photos.sources.catalogue import ArchiveDataset, load_registry, open_dataset
from rl_aesthetics.photos.sources.download import ATTEMPTS, download

CONTENT = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()
CHUNK = 1 << 16  # pieces in which a download is written
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class FileServer(http.server.BaseHTTPRequestHandler):
    """Serves one file with range support and the misbehaviour that its server is told."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.failures:
            status = server.failures.pop(0)
            self.send_response(status)
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if start >= len(server.content) and start:
            self.send_response(416)
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cuts:
            body = body[: server.cuts.pop(0)]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FileServer)
    served.content, served.ranges, served.cuts, served.failures, served.asked = CONTENT, True, [], [], []
    served.url = f"http://127.0.0.1:{served.server_port}/photos.zip"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def get(server, target, digest=SHA256, **options):
    return download(server.url, target, "sha256", digest, backoff=0.001, **options)


def test_a_file_is_downloaded_verified_and_reported(server, tmp_path):
    seen = []
    get(server, tmp_path / "f.zip", progress=lambda *progress: seen.append(progress))
    assert (tmp_path / "f.zip").read_bytes() == CONTENT
    assert {("downloading, MB", 3, 3), ("verifying, MB", 3, 3)} <= set(seen)
    assert not (tmp_path / "f.zip.part").exists()


def test_a_download_that_is_cut_off_goes_on_where_it_broke(server, tmp_path):
    server.cuts = [16 * CHUNK, 4 * CHUNK]
    get(server, tmp_path / "f.zip")
    assert (tmp_path / "f.zip").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={16 * CHUNK}-", f"bytes={20 * CHUNK}-"]


def test_a_later_run_goes_on_as_well(server, tmp_path):
    server.cuts = [2 * CHUNK] * ATTEMPTS
    with pytest.raises(UserError, match=r"6 attempts.*0\.8 MB are kept, run the same command again"):
        get(server, tmp_path / "f.zip")
    assert not (tmp_path / "f.zip").exists()
    get(server, tmp_path / "f.zip")
    assert server.asked[-1] == f"bytes={2 * CHUNK * ATTEMPTS}-"
    assert (tmp_path / "f.zip").read_bytes() == CONTENT


def test_a_server_without_ranges_makes_it_start_again(server, tmp_path):
    server.ranges, server.cuts = False, [1_000_000]
    get(server, tmp_path / "f.zip")
    assert (tmp_path / "f.zip").read_bytes() == CONTENT


def test_a_part_that_was_complete_already_is_only_verified(server, tmp_path):
    (tmp_path / "f.zip.part").write_bytes(CONTENT)
    get(server, tmp_path / "f.zip")
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.failures = [503, 429]
    get(server, tmp_path / "f.zip")
    assert (tmp_path / "f.zip").read_bytes() == CONTENT


def test_a_refusal_is_final(server, tmp_path):
    server.failures = [404]
    with pytest.raises(UserError, match="404"):
        get(server, tmp_path / "f.zip")
    assert len(server.asked) == 1


def test_a_wrong_checksum_deletes_the_file(server, tmp_path):
    with pytest.raises(UserError, match=f"wrong checksum: sha256 {SHA256}, expected {'0' * 64}"):
        get(server, tmp_path / "f.zip", digest="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "f.zip").write_bytes(b"verified before")
    get(server, tmp_path / "f.zip")
    assert server.asked == []


def test_nobody_there_is_told_after_bounded_attempts(tmp_path):
    with pytest.raises(UserError, match="could not be downloaded in 6 attempts"):
        download("http://127.0.0.1:9/f.zip", tmp_path / "f.zip", "sha256", SHA256, backoff=0.001)


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.org/f.zip"])
def test_a_wrong_address_is_told(tmp_path, url):
    with pytest.raises(UserError, match="not an address"):
        download(url, tmp_path / "f.zip", "sha256", SHA256)


# --- archives --------------------------------------------------------------------------------------------------------


def make_zip(path, members, links=()):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
        for name, target in links:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(info, target)


def make_tar(path, members, links=()):
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            file.addfile(info)


MAKE = {"zip": make_zip, "tar": make_tar}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_is_unpacked(tmp_path, kind):
    MAKE[kind](tmp_path / "a", {"photos/1.jpg": b"one", "photos/deep/2.jpg": b"two"})
    extract(tmp_path / "a", kind, tmp_path / "out")
    assert (tmp_path / "out/photos/deep/2.jpg").read_bytes() == b"two"
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["../evil.jpg", "photos/../../evil.jpg", "/tmp/evil.jpg", "..\\evil.jpg"])
def test_paths_that_climb_out_are_refused(tmp_path, kind, name):
    inner = tmp_path / "inner"
    inner.mkdir()
    MAKE[kind](inner / "a", {"photos/1.jpg": b"one", name: b"evil"})
    with pytest.raises(UserError, match="outside its folder"):
        extract(inner / "a", kind, inner / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "a"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_links_are_refused(tmp_path, kind):
    MAKE[kind](tmp_path / "a", {}, links=[("photos", "/etc"), ("x", "../..")])
    with pytest.raises(UserError, match="link or a device"):
        extract(tmp_path / "a", kind, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("damage", [lambda content: b"no archive", lambda content: content[: len(content) // 2]])
def test_broken_archives_are_told_and_leave_nothing(tmp_path, kind, damage):
    MAKE[kind](tmp_path / "a", {"1.jpg": CONTENT[:100_000]})
    (tmp_path / "a").write_bytes(damage((tmp_path / "a").read_bytes()))
    with pytest.raises(UserError, match="cannot be unpacked"):
        extract(tmp_path / "a", kind, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_archive_larger_than_the_disk_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as file:
        file.writestr("1.jpg", b"small")
        file.infolist()[0].file_size = 10**15  # as its central directory then claims
    with pytest.raises(UserError, match=r"unpacks to 1000000\.0 GB"):
        extract(tmp_path / "a", "zip", tmp_path / "out")


# --- datasets by id --------------------------------------------------------------------------------------------------


@pytest.fixture
def photo_zip(server):
    """The server serves a zip with two photos in a folder; returns its registry entry."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number in (1, 2):
            image = io.BytesIO()
            Image.new("RGB", (80, 80), (10 * number, 100, 200)).save(image, "PNG")
            file.writestr(f"Photos/{number}.png", image.getvalue())
        file.writestr("__MACOSX/._1.png", b"rubbish")
    server.content = archive.getvalue()
    digest = hashlib.sha256(server.content).hexdigest()
    return ArchiveDataset(url=server.url, archive="zip", sha256=digest, folder="Photos")


def test_a_dataset_is_downloaded_once(photo_zip, server, tmp_path):
    first = open_dataset("two", photo_zip, cache=tmp_path)
    assert [photo.name for photo in first.photos] == ["1.png", "2.png"]
    assert first.name == "two"
    assert open_dataset("two", photo_zip, cache=tmp_path) == first
    assert len(server.asked) == 1
    assert not list(tmp_path.rglob("*.zip"))  # what is unpacked is not kept twice


def test_a_dataset_without_a_known_checksum_is_not_used(photo_zip, server, tmp_path):
    unknown = photo_zip.model_copy(update={"sha256": None})
    with pytest.raises(UserError, match="no checksum is known for dataset 'two'"):
        open_dataset("two", unknown, cache=tmp_path)
    assert server.asked == []
    assert len(open_dataset("two", unknown, sha256=photo_zip.sha256.upper(), cache=tmp_path).photos) == 2


def test_an_md5_does_where_nothing_better_is_known(photo_zip, server, tmp_path):
    old = photo_zip.model_copy(update={"sha256": None, "md5": hashlib.md5(server.content).hexdigest()})
    assert len(open_dataset("two", old, cache=tmp_path).photos) == 2
    with pytest.raises(UserError, match="wrong checksum: md5"):
        open_dataset("two", old.model_copy(update={"md5": "0" * 32}), cache=tmp_path)


def test_a_checksum_of_another_form_is_told(photo_zip, tmp_path):
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        open_dataset("two", photo_zip, sha256="abc", cache=tmp_path)


def test_the_registry_holds_the_guides_datasets():
    registry = load_registry()
    assert {"flickr8k", "div2k", "places365-val"} <= set(registry)
    assert all(entry.url.startswith("http") for entry in registry.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not YAML"),
        ("a: {url: x, archive: zip, sha256: abc}", r"a\.sha256"),
        ("a: {url: x, archive: rar, sha256: null}", r"a\.archive"),
        ("a: {url: x, archive: zip}", r"a\.sha256"),
        ("a: {url: x, archive: zip, sha256: null, sha: y}", r"a\.sha"),
    ],
)
def test_a_mistake_in_the_registry_is_told(tmp_path, text, message):
    (tmp_path / "datasets.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_registry(tmp_path / "datasets.yaml")
