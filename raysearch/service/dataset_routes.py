"""Routes of data sets: each owner sees their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from raysearch.service import replies
from raysearch.service.datasets import DAYS
from raysearch.service.errors import Conflict
from raysearch.service.services import Services, made, who


def routes(services: Services) -> APIRouter:
    """Return the routes below /v1/datasets."""
    router = APIRouter(tags=["datasets"])

    @router.post(
        "/v1/datasets",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
                },
            }
        },
    )
    async def upload(
        request: Request,
        name: Annotated[str, Query(max_length=200, description="Its name; the ending is its kind")],
        days: Annotated[float, Query(description="When it is removed")] = DAYS,
    ) -> replies.DatasetReply:
        """Upload a .csv, .tsv, .jsonl or .parquet file: the body is its bytes.

        Its id is its content's: the same bytes again only move the day when it is removed.
        """
        dataset = await services.datasets.add(who(request).owner, name, days, request.stream())
        made(request, dataset.id)
        return replies.DatasetReply.of(dataset)

    @router.get("/v1/datasets")
    def every(request: Request) -> replies.Datasets:
        """List your data sets."""
        datasets = services.datasets.all(who(request).owner)
        return replies.Datasets(datasets=[replies.DatasetReply.of(d) for d in datasets])

    @router.get("/v1/datasets/{id}")
    def one(request: Request, id: str) -> replies.DatasetReply:
        """Say what is known of one of your data sets; its rows are not given out."""
        return replies.DatasetReply.of(services.datasets.get(who(request).owner, id))

    @router.delete("/v1/datasets/{id}")
    def delete(request: Request, id: str) -> replies.Deleted:
        """Remove a data set; refused while a study that reads it runs or waits."""
        with services.datasets.atomically():
            dataset = services.datasets.get(who(request).owner, id)
            if (dataset.owner, dataset.id) in services.studies.datasets_in_use():
                raise Conflict(f"data set '{id}' is read by a study that runs or waits")
            services.datasets.delete(dataset)
        return replies.Deleted(deleted=id)

    return router
