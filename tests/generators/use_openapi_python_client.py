"""Uses the client that openapi-python-client generates, and prints the results as JSON."""

import base64
import io
import json
import os
import sys

from openapi_python_client_made import Client
from openapi_python_client_made.api.generations import (
    delete_generation,
    get_generation,
    get_image,
    get_usage,
    list_generations,
)
from openapi_python_client_made.api.images import generate_image, upload_image
from openapi_python_client_made.api.service import get_health
from openapi_python_client_made.models import DryRun, GenerateRequest, Result, Running, UploadImageBody
from openapi_python_client_made.types import File

client = Client(base_url=os.environ["API"], headers={"Cookie": os.environ["COOKIE"]}, timeout=60)
photo = File(io.BytesIO(base64.b64decode(os.environ["PHOTO"])), "photo.jpg", "image/jpeg")
PROMPT = "as a watercolor painting"

uploaded = upload_image.sync(client=client, body=UploadImageBody(file=photo))
request = GenerateRequest(images=[uploaded.url], prompt=PROMPT)
made = generate_image.sync(client=client, body=request)
assert isinstance(made, Result), made
later = generate_image.sync(client=client, body=request, prefer="wait=1")
assert isinstance(later, Running), later
dry = generate_image.sync(client=client, body=GenerateRequest(images=[uploaded.url], prompt=PROMPT, dry_run=True))
assert isinstance(dry, DryRun), dry
found = get_generation.sync(later.id, client=client, prefer="wait=20")
listed = list_generations.sync(client=client, limit=1)
image = get_image.sync(made.image_url.rsplit("/", 1)[-1], client=client)
wrong = generate_image.sync_detailed(client=client, body=GenerateRequest(images=["no image"], prompt=PROMPT))
deleted = delete_generation.sync_detailed(later.id, client=client)
gone = get_generation.sync_detailed(later.id, client=client)
results = {
    "made": [made.status, made.model, made.mime_type],
    "later": [later.status, later.status_url == f"/api/generations/{later.id}", later.expected_seconds >= 1],
    "found": [found.status, found.image_url is not None, found.options.to_dict(), found.error],
    "dry": [dry.dry_run, dry.inputs[0].mime_type, dry.estimated_cost_usd > 0],
    "listed": [[item.id == later.id for item in listed.items], listed.continuation is not None],
    "bytes": len(image.payload.read()),
    "wrong": [wrong.status_code, wrong.parsed.code, wrong.parsed.image_index],
    "deleted": deleted.status_code,
    "gone": [gone.status_code, gone.parsed.code],
    "usage": get_usage.sync(client=client).today.images,
    "health": get_health.sync(client=client).status,
}
json.dump(results, sys.stdout)
