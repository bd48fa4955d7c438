"""Every route of the OpenAPI document, asked what nobody would ask: no 5xx and no traceback."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from raysearch.service.study_state import Spec
from tests.service.fakes import HOST, recorded, site

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory):
    rig = site(tmp_path_factory.mktemp("schema") / "root", studies=10_000, datasets=10_000)
    return rig


@pytest.fixture(scope="module")
def study(place, tmp_path_factory) -> str:
    """A study with records."""
    draft = Path(tmp_path_factory.mktemp("made"))
    place.services.studies.create(Spec("toy-1", "anna", 1.0, "toy", "quick", []), draft)
    recorded(place.services.studies.run("toy-1"), 12)
    place.services.reconciler.stop("toy-1")
    return "toy-1"


def test_no_request_breaks_the_service(place, study):
    headers = {**place.headers(), "Host": HOST}
    document = schemathesis.openapi.from_asgi("/openapi.json", place.app, headers=headers)
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) >= 18
    requests: Counter[str] = Counter()

    def question(operation):
        @seed(1)
        @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(), st.booleans())
        def one(case, known):
            if known and "id" in (case.path_parameters or {}) and case.method != "DELETE":
                case.path_parameters["id"] = study
            answer = case.call(headers=headers)
            requests[f"{case.method} {case.path}"] += 1
            assert answer.status_code < 500, answer.content
            assert b"Traceback" not in answer.content
            if answer.status_code >= 400:
                body = answer.json()
                assert set(body) == {"error"} and "\n" not in body["error"], answer.text

        one()

    for operation in operations:
        question(operation)
    assert len(requests) == len(operations)


def test_the_document_says_what_there_is(place):
    document = place.app._app.openapi()
    paths = document["paths"]
    assert len(paths) >= 13
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation.get("description") or operation.get("summary"), (method, path)
            assert {"401", "422"} <= set(operation["responses"]), (method, path)
            schema = operation["responses"]["422"]["content"]["application/json"]["schema"]
            assert schema["$ref"].endswith("/Error"), (method, path)
    assert document["security"] == [{"token": []}]
    body = paths["/v1/studies"]["post"]["requestBody"]["content"]
    assert body["application/json"]["schema"]["additionalProperties"] is False
    assert "dataset" in body["application/yaml"]["schema"]["properties"]
