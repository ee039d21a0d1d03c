"""Every code of the contract has one status, and every body the fixed fields."""

import importlib
import pkgutil

import pytest

import image_core
from image_core import errors

CONTRACT = {
    "unauthorized": 401, "no_images": 400, "no_prompt": 400, "gemini_key_missing": 500, "no_image": 500, "refused": 500,
    "internal": 500, "model_error": 500, "model_auth_failed": 500, "interrupted": 500, "invalid_json": 400,
    "invalid_request": 400, "invalid_image": 400, "image_fetch_failed": 400, "url_not_allowed": 400, "cross_site": 403,
    "not_found": 404, "method_not_allowed": 405, "length_required": 411, "image_too_large": 413,
    "request_too_large": 413, "unsupported_media_type": 415, "idempotency_mismatch": 422, "rate_limited": 429,
    "too_many_generations": 429, "misconfigured": 500, "model_unavailable": 503, "storage_unavailable": 503,
    "session_unavailable": 503, "busy": 503, "deadline_exceeded": 504,
}  # fmt: skip

MESSAGES = [
    (errors.Unauthorized("expired"), "Unauthorized"),
    (errors.NoImages(), "No images provided"),
    (errors.NoPrompt(), "No prompt provided"),
    (
        errors.GeminiKeyMissing(),
        "GEMINI_API_KEY not configured. Please add GEMINI_API_KEY to your .env.local file",
    ),
    (errors.NoImage(), "No image was generated"),
    (errors.Refused(), "No image was generated"),
    (errors.Internal(), "Failed to generate image"),
    (errors.ModelFailed(), "Failed to generate image"),
    (errors.Interrupted(), "Failed to generate image"),
    (errors.UploadFailed(), "Failed to upload file"),
]


ABSTRACT = [errors.ImageError, errors.InputError, errors.ModelError, errors.Unavailable]


@pytest.mark.parametrize("kind", ABSTRACT)
def test_abstract_class_has_no_code_and_is_not_listed(kind: type[errors.ImageError]) -> None:
    assert not hasattr(kind, "code")
    assert kind not in errors.subclasses(errors.ImageError)


def test_every_error_class_has_the_status_of_its_code() -> None:
    """Also classes of other modules: the table is made when `errors` is imported."""
    for module in pkgutil.walk_packages(image_core.__path__, "image_core."):
        importlib.import_module(module.name)
    statuses = [(kind.__name__, kind.status) for kind in errors.subclasses(errors.ImageError)]
    assert statuses == [
        (kind.__name__, errors.STATUS_BY_CODE.get(kind.code)) for kind in errors.subclasses(errors.ImageError)
    ]


def test_every_code_of_the_contract_has_its_status() -> None:
    assert {code: errors.STATUS_BY_CODE.get(code) for code in CONTRACT} == CONTRACT


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=[type(error).__name__ for error, _ in MESSAGES])
def test_fixed_messages_do_not_change(error: errors.ImageError, message: str) -> None:
    assert error.body()["error"] == message


def test_body_has_whether_a_retry_can_help() -> None:
    assert errors.ModelUnavailable().body()["retryable"] is True
    assert errors.Refused().body()["retryable"] is False


def test_reason_of_a_401_is_not_in_its_body() -> None:
    assert errors.Unauthorized("bad_signature").body() == {
        "error": "Unauthorized",
        "code": "unauthorized",
        "retryable": False,
    }


def test_error_of_an_image_has_its_index_and_one_of_the_mask_its_field() -> None:
    image, mask = errors.InvalidImage(1, "why").body(), errors.InvalidImage(None, "why").body()
    assert (image["error"], image["imageIndex"]) == ("Image 2 is not an image that can be read", 1)
    assert (mask["error"], mask["field"], "imageIndex" in mask) == ("The mask cannot be used", "mask", False)
