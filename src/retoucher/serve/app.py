"""The service's application: its routes, and the life of what is behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.sse import EventSourceResponse, ServerSentEvent

import retoucher
from retoucher.batch.process import MakeHandler, WorkerSettings
from retoucher.serve import schemas
from retoucher.serve.crew import Crew
from retoucher.serve.guard import Guard
from retoucher.serve.jobs import Busy, Job, JobStore
from retoucher.serve.metrics import CONTENT_TYPE, Metrics
from retoucher.serve.reading import JSON, MULTIPART, read_work, words_of
from retoucher.serve.settings import ServiceSettings
from retoucher.serve.work import Kind

SWEEP_S = 5.0
RETRY_AFTER_S = 5

STATUS_OF_REASON = {"input": 422, "timeout": 504, "internal": 500}


@dataclass(slots=True, kw_only=True, eq=False)
class Service:
    """What the routes work with."""

    settings: ServiceSettings
    store: JobStore
    crew: Crew
    metrics: Metrics


def create_app(settings: ServiceSettings, make: MakeHandler) -> FastAPI:
    """The application.

    Args:
        settings: its limits.
        make: what each worker process makes once; see `work.worker`.
    """
    metrics = Metrics()
    store = JobStore(settings, on_finish=metrics.job)
    processes = WorkerSettings(memory_gb=settings.worker_memory_gb)
    crew = Crew(store=store, make=make, settings=processes)
    metrics.watch(store, crew)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[None]:
        crew.begin()
        sweeping = asyncio.create_task(_sweep(store))
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await crew.end()

    app = FastAPI(
        title="Agentic Retoucher",
        summary="Finds local defects in generated pictures, and repairs only those places.",
        version=retoucher.__version__,
        lifespan=life,
        docs_url=None,  # the usual pages load scripts from other hosts
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        separate_input_output_schemas=False,
    )
    app.state.service = Service(settings=settings, store=store, crew=crew, metrics=metrics)
    app.include_router(router)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Guard, settings=settings, answered=metrics.request)
    return app


async def _sweep(store: JobStore) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        store.sweep()


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    errors = cast(RequestValidationError, error).errors()
    return JSONResponse({"detail": words_of(list(errors))}, 422)


def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


def _job(
    request: Request,
    id: Annotated[str, PathParameter(max_length=64, description="As the job was answered.")],
) -> Job:
    job = _service(request).store.get(id)
    if job is None:
        raise HTTPException(404, "there is no such job, or it has expired")
    return job


TheService = Annotated[Service, Depends(_service)]
TheJob = Annotated[Job, Depends(_job)]
Wait = Annotated[
    bool, Query(description="Answer when the job is finished; false: at once, with 202.")
]

# For OpenAPI only: `Guard` looks at the key, before anything is read.
_keys = [
    Depends(HTTPBearer(auto_error=False, description="Where the service has an API key.")),
    Depends(APIKeyHeader(name="X-API-Key", auto_error=False)),
]
_problems: dict[int | str, dict[str, Any]] = {
    401: {"model": schemas.Problem, "description": "The API key is missing or wrong."},
    403: {"model": schemas.Problem, "description": "From another origin, or by another name."},
    422: {"model": schemas.Problem, "description": "The request cannot be used as it is."},
}
_missing: dict[int | str, dict[str, Any]] = {
    404: {"model": schemas.Problem, "description": "No such job, or it has expired."}
}
_work_problems: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.JobView, "description": "Begun; ask for the job."},
    400: {"model": schemas.Problem, "description": "The form is broken."},
    408: {"model": schemas.Problem, "description": "The body did not arrive in time."},
    413: {"model": schemas.Problem, "description": "The body or the picture is too large."},
    415: {"model": schemas.Problem, "description": "Neither multipart nor JSON."},
    429: {"model": schemas.Problem, "description": "Every slot is taken; try again later."},
    504: {"model": schemas.Problem, "description": "The job took too long."},
}

router = APIRouter(prefix="/v1", dependencies=_keys, responses=_problems)


def _body(kind: Kind) -> dict[str, Any]:
    """OpenAPI of a body that may be a form or JSON."""
    model = schemas.FindBody if kind == "find" else schemas.FixBody
    options = schemas.FindOptions if kind == "find" else schemas.FixOptions
    form = {
        "type": "object",
        "required": ["image"],
        "additionalProperties": False,
        "properties": {
            "image": {"type": "string", "format": "binary", "description": "The picture's file."},
            "prompt": {"type": "string", "maxLength": 20_000},
            "options": {
                "type": "string",
                "contentMediaType": JSON,
                "contentSchema": _inlined(options.model_json_schema()),
                "description": "The other fields of the JSON form, as a JSON object.",
                "example": "{}" if kind == "find" else '{"rounds": 2, "only": ["text"]}',
            },
        },
    }
    example = {"image": schemas.EXAMPLE_IMAGE, "prompt": "a plain grey wall"}
    content = {
        MULTIPART: {"schema": form},
        JSON: {"schema": _inlined(model.model_json_schema()), "example": example},
    }
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without `$defs`, which have no place inside an OpenAPI operation."""
    definitions = schema.pop("$defs", {})

    def walk(node: Any) -> Any:
        if isinstance(node, Mapping):
            entries = cast("Mapping[str, Any]", node)
            reference = entries.get("$ref")
            if isinstance(reference, str):
                return walk(definitions[reference.rpartition("/")[2]])
            return {key: walk(value) for key, value in entries.items()}
        return [walk(item) for item in cast("list[Any]", node)] if isinstance(node, list) else node

    return cast("dict[str, Any]", walk(schema))


@router.post(
    "/find",
    response_model=schemas.JobView,
    responses=_work_problems,
    openapi_extra=_body("find"),
    summary="Find and name defects, change nothing.",
)
async def find(request: Request, service: TheService, wait: Wait = True) -> Response:
    """The job with what was found; regions as in `retouch find --json`."""
    job = await _submit(request, service, "find")
    return await _answer(request, service, job, wait=wait)


@router.post(
    "/fix",
    response_model=schemas.JobView,
    responses=_work_problems
    | {
        200: {
            "description": "The finished job, or with `response=image` the picture.",
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    openapi_extra=_body("fix"),
    summary="Find defects, repair them, verify each repair.",
)
async def fix(
    request: Request,
    service: TheService,
    wait: Wait = True,
    response: Annotated[
        Literal["job", "image"],
        Query(description="With `wait`: the job as JSON, or the repaired picture itself."),
    ] = "job",
) -> Response:
    """The job with what was done; the picture is at its `image_url`."""
    job = await _submit(request, service, "fix")
    if response == "image" and wait:
        await _finish(request, service, job)
        return _image(job)
    return await _answer(request, service, job, wait=wait)


@router.get("/jobs/{id}", responses=_missing, summary="A job's state, and its result.")
async def job(job: TheJob, service: TheService) -> schemas.JobView:
    """Also while it waits or runs."""
    return _view(job, service)


@router.delete(
    "/jobs/{id}", status_code=204, responses=_missing, summary="Stop a job, or forget its result."
)
async def cancel(job: TheJob, service: TheService) -> Response:
    """A running job stops between two steps; nothing of it is kept."""
    service.store.cancel(job)
    return Response(status_code=204)


@router.get(
    "/jobs/{id}/events",
    response_class=EventSourceResponse,
    responses=_missing,
    summary="A job's progress, as server-sent events.",
)
async def events(
    job: TheJob,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=10**9, description="Go on after this event.")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Every event from the first, then as they come; ends with `done`, `failed` or `cancelled`."""
    start = 0 if last_event_id is None else last_event_id + 1
    async for number, event in job.follow(start):
        data = {key: value for key, value in event.items() if key != "event"}
        yield ServerSentEvent(id=str(number), event=str(event["event"]), data=data)


@router.get(
    "/jobs/{id}/image",
    response_class=Response,
    responses=_missing
    | {
        200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
        409: {"model": schemas.Problem, "description": "There is no picture (yet)."},
    },
    summary="The repaired picture.",
)
async def image(job: TheJob) -> Response:
    """The file, in the picture's own format unless another was asked for."""
    return _image(job)


@router.get(
    "/jobs/{id}/trace",
    response_class=Response,
    responses=_missing
    | {
        200: {"content": {JSON: {"schema": {"type": "object"}}}},
        409: {"model": schemas.Problem, "description": "There is no record (yet)."},
    },
    summary="The full record of a repair.",
)
async def trace(job: TheJob) -> Response:
    """As `retouch fix --trace`."""
    if job.output is None or not job.output.trace:
        raise HTTPException(409, f"the job is {job.state}: there is no record")
    return Response(job.output.trace, media_type=JSON)


@router.get(
    "/health",
    summary="Whether the service can work.",
    responses={503: {"model": schemas.Health, "description": "No worker can start."}},
)
async def health(service: TheService, response: Response) -> schemas.Health:
    """Needs no key. 503 where no worker can start, with the reason."""
    crew, store = service.crew, service.store
    broken = crew.broken
    if broken is not None:
        response.status_code = 503
    return schemas.Health(
        status="broken" if broken is not None else "ok" if crew.alive else "starting",
        version=retoucher.__version__,
        workers=service.settings.workers,
        ready=crew.alive,
        queued=store.queued,
        running=store.running,
        detail=broken,
    )


@router.get("/metrics", response_class=Response, summary="For Prometheus.")
async def metrics(service: TheService) -> Response:
    """Requests, jobs, seconds, queue, memory, in Prometheus' text format."""
    return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE})


async def _submit(request: Request, service: Service, kind: Kind) -> Job:
    try:
        service.store.reserve()
    except Busy:
        retry = {"Retry-After": str(RETRY_AFTER_S)}
        raise HTTPException(429, "every slot is taken; try again later", retry) from None
    try:
        work = await read_work(request, kind, service.settings)
    except BaseException:
        service.store.release()
        raise
    return service.store.submit(work)


async def _answer(request: Request, service: Service, job: Job, *, wait: bool) -> Response:
    if wait:
        await _finish(request, service, job)
    view = _view(job, service).model_dump(mode="json")
    return JSONResponse(view, 200 if wait else 202, headers={"Location": f"/v1/jobs/{job.id}"})


async def _finish(request: Request, service: Service, job: Job) -> None:
    """Wait for a job's end; a client that goes away takes its job with it.

    Raises:
        HTTPException: the job did not succeed.
    """
    waiting = asyncio.ensure_future(job.wait())
    try:
        while not waiting.done():
            await asyncio.wait([waiting], timeout=1.0)
            if not waiting.done() and await request.is_disconnected():
                service.store.cancel(job)
    except asyncio.CancelledError:
        service.store.cancel(job)
        raise
    finally:
        waiting.cancel()
    if job.state == "cancelled":
        raise HTTPException(409, "the job was cancelled")
    if job.state == "failed":
        raise HTTPException(STATUS_OF_REASON[job.reason or "internal"], job.error)


def _image(job: Job) -> Response:
    if job.output is None or not job.output.image:
        raise HTTPException(409, f"the job is {job.state}: there is no picture")
    headers = {"X-Job-Id": job.id, "X-Content-Type-Options": "nosniff"}
    return Response(job.output.image, media_type=job.output.media_type, headers=headers)


def _view(job: Job, service: Service) -> schemas.JobView:
    output, base = job.output, f"/v1/jobs/{job.id}"
    ttl_s = service.settings.result_ttl_s
    return schemas.JobView(
        id=job.id,
        kind=job.kind,
        state=job.state,
        error=job.error,
        result=dict(output.record) if output else None,
        image_url=f"{base}/image" if output and output.image else None,
        trace_url=f"{base}/trace" if output and output.trace else None,
        events_url=f"{base}/events",
        expires_at=None if job.finished_s is None else job.finished_s + ttl_s,
    )
