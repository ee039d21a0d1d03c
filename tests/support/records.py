"""Records of generations."""

from dataclasses import replace

from image_core.auth.user import User
from image_core.generations.record import Record
from image_core.models.generated import Options


def make(user: User, number: int = 1, **changes: object) -> Record:
    record = Record(
        id=f"gen-{number}",
        user_id=user.id,
        prompt="a watercolor of it",
        input_images=("/api/images/input-1.png",),
        inputs=(),
        options=Options(image_size="2K"),
        created_at=f"2026-01-01T00:00:{number:02}.000Z",
        request_hash="hash",
        blob_stem=f"generated-1-{number}-{user.folder}",
        lease_owner="me",
        lease_expires_at="2026-01-01T01:00:00.000Z",
    )
    return replace(record, **changes)  # type: ignore[arg-type] # a test's own words
