"""Routes that answer from a study's records, as the command line does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from raysearch.service import responses
from raysearch.service.errors import NotFound
from raysearch.service.services import Services, owned, who

Text = Annotated[str | None, Query(max_length=100)]
JSON: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}}}
}


def routes(services: Services) -> APIRouter:
    """Return the routes of results."""
    router = APIRouter(tags=["results"])

    @router.get("/v1/studies/{id}/frontier", response_class=Response, responses=JSON)
    async def frontier(
        request: Request,
        id: str,
        objectives: Annotated[
            str, Query(max_length=200, description="Two or more, as score,infer_flops")
        ] = "score,infer_flops",
    ) -> Response:
        """Give the frontier and what it cost."""
        given = {"objectives": [o.strip() for o in objectives.split(",") if o.strip()]}
        return responses.json_bytes(request, await services.answer("frontier", id, given))

    @router.get("/v1/studies/{id}/recommend", response_class=Response, responses=JSON)
    async def recommend(
        request: Request,
        id: str,
        labels: Text = None,
        max_ms: Text = None,
        max_bytes: Text = None,
        max_train_flops: Text = None,
        min_score: Text = None,
        volume: Text = None,
        price_per_cpu_hour: Text = None,
        price_per_gpu_hour: Text = None,
        price_per_label: Text = None,
        cost: Annotated[str, Query(max_length=100)] = "",
        methods: Text = None,
        teacher: Annotated[str, Query(max_length=20)] = "full",
        share_teacher: Text = None,
    ) -> Response:
        """Say what to train within limits, what else ties, and why not the others.

        The limits are those of `raysearch recommend`, and so are the sentences.
        """
        given = {
            "labels": labels,
            "max_ms": max_ms,
            "max_bytes": max_bytes,
            "max_train_flops": max_train_flops,
            "min_score": min_score,
            "volume": volume,
            "price_per_cpu_hour": price_per_cpu_hour,
            "price_per_gpu_hour": price_per_gpu_hour,
            "price_per_label": price_per_label,
            "cost": cost,
            "methods": methods,
            "teacher": teacher,
            "share_teacher": share_teacher,
        }
        return responses.json_bytes(request, await services.answer("recommend", id, given))

    @router.get(
        "/v1/studies/{id}/records",
        response_class=Response,
        responses={
            200: {
                "content": {
                    "application/json": {"schema": {"type": "array"}},
                    "application/vnd.apache.parquet": {
                        "schema": {"type": "string", "format": "binary"}
                    },
                }
            }
        },
    )
    async def records(id: str, format: Literal["json", "parquet"] = "json") -> Response:
        """Give out the records as a table, one row a point; they hold no texts."""
        what = "parquet" if format == "parquet" else "rows"
        result = await services.answer(what, id)
        path = Path(result.body.decode())
        if format == "json":
            return responses.file(path, "application/json")
        return responses.file(path, "application/vnd.apache.parquet", f"{id}.parquet")

    @router.get(
        "/v1/studies/{id}/model",
        response_class=Response,
        responses={
            200: {
                "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
            }
        },
    )
    async def model(request: Request, id: str) -> Response:
        """Give out the exported model as a zip file."""
        owned(services.studies.spec(id), who(request))
        if services.model(id) is None:
            raise NotFound(f"study '{id}' has no exported model; export one first")
        result = await services.queries.get("model", services.studies.run(id), exact=True)
        return responses.file(Path(result.body.decode()), "application/zip", f"{id}.zip")

    return router
