"""Uses the Python client that OpenAPI Generator makes, and prints the results as JSON."""

import base64
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from openapi_client import (
    ApiClient,
    ApiException,
    Configuration,
    GenerateRequest,
    GenerationsApi,
    ImagesApi,
    ServiceApi,
)
from openapi_client.models import DryRun, Result, Running

client = ApiClient(Configuration(host=os.environ["API"]), header_name="Cookie", header_value=os.environ["COOKIE"])
images, generations = ImagesApi(client), GenerationsApi(client)
PROMPT = "as a watercolor painting"


def failed(call: Callable[..., object], *arguments: object) -> tuple[int, Any]:
    """Return the status and the body of a call that fails."""
    try:
        call(*arguments)
    except ApiException as error:
        return error.status, error.data
    raise AssertionError("the call did not fail")


uploaded = images.upload_image(("photo.jpg", base64.b64decode(os.environ["PHOTO"])))
request = GenerateRequest(images=[uploaded.url], prompt=PROMPT)
made = images.generate_image(request).actual_instance
assert isinstance(made, Result), made
later = images.generate_image(request, prefer="wait=1").actual_instance
assert isinstance(later, Running), later
dry = images.generate_image(GenerateRequest(images=[uploaded.url], prompt=PROMPT, dryRun=True)).actual_instance
assert isinstance(dry, DryRun), dry
found = generations.get_generation(later.id, prefer="wait=20")
listed = generations.list_generations(limit=1)
image = generations.get_image(made.image_url.rsplit("/", 1)[-1])
wrong = failed(images.generate_image, GenerateRequest(images=["no image"], prompt=PROMPT))
deleted = generations.delete_generation_with_http_info(later.id)
gone = failed(generations.get_generation, later.id)
results = {
    "made": [made.status, made.model, made.mime_type],
    "later": [later.status, later.status_url == f"/api/generations/{later.id}", later.expected_seconds >= 1],
    "found": [found.status, found.image_url is not None, found.options.to_dict(), found.error],
    "dry": [dry.dry_run, dry.inputs[0].mime_type, dry.estimated_cost_usd > 0],
    "listed": [[item.id == later.id for item in listed.items], listed.continuation is not None],
    "bytes": len(image),
    "wrong": [wrong[0], wrong[1].code, wrong[1].image_index],
    "deleted": deleted.status_code,
    "gone": [gone[0], gone[1].code],
    "usage": generations.get_usage().today.images,
    "health": ServiceApi(client).get_health().status,
}
json.dump(results, sys.stdout)
