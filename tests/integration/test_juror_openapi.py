"""The service against its own OpenAPI document: whatever is sent, no 5xx, and every answer is one that it declares."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from juror_server import http, running

from juror_service.http.app import ServiceSettings, create_app
from juror_service.http.schemas import NPY
from juror_service.jurors.registry import load_juror

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)


def npy_bytes(shape, dtype):
    file = io.BytesIO()
    np.save(file, np.zeros(shape, dtype))
    return file.getvalue()


shapes = st.lists(st.integers(0, 5), min_size=0, max_size=5).flatmap(
    lambda shape: st.sampled_from([tuple(shape), (*shape, 3), (2, 4, 4, 3)])
)
schemathesis.openapi.media_type(
    NPY, st.one_of(st.binary(max_size=200), st.builds(npy_bytes, shapes, st.sampled_from(["uint8", "float32", "<U1"])))
)


@pytest.fixture(scope="module")
def url():
    with running(lambda: load_juror("pocket", threads=1), ServiceSettings(token="s3cret")) as address:
        yield address


@pytest.fixture(scope="module")
def document(url):
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


OPERATIONS = [
    (path, method, mode)
    for path, item in create_app(load_juror).openapi()["paths"].items()
    for method in item
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if method != "get" or mode is GenerationMode.POSITIVE  # nothing can be wrong about a request without parameters
]
HEADERS = {"Authorization": "Bearer s3cret"}


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_nothing_that_is_sent_makes_the_service_fail(document, path, method, mode):
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    operation = document[path][method]

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def sent(case):
        case.call_and_validate(headers=HEADERS, checks=checks)

    sent()


def test_the_examples_of_the_document_work(url, document):
    body = document.raw_schema["components"]["schemas"]["EncodedImage"]["properties"]
    example = {name: values["examples"][0] for name, values in body.items()}
    single = http.post(f"{url}/v1/score", json=example, headers=HEADERS)
    assert single.status_code == 200
    assert single.json()["filename"] == "photo.png"
    content = document.raw_schema["paths"]["/v1/score/batch"]["post"]["requestBody"]["content"]
    batch = http.post(f"{url}/v1/score/batch", json=content["application/json"]["example"], headers=HEADERS)
    assert [row["message"] for row in batch.json()["results"]] == ["ok"]
