"""Records of generations."""

from dataclasses import replace
from datetime import UTC, datetime

from image_core.auth.user import User
from image_core.generations.record import Record
from image_core.models.generated import Options


def make(user: User, number: int = 1, **changes: object) -> Record:
    """Return a running generation of `user` that was created `number` seconds after the start of 2026."""
    record = Record(
        id=f"gen-{number}",
        user_id=user.id,
        prompt="a watercolor of it",
        input_images=("/api/images/input-1.png",),
        inputs=(),
        options=Options(image_size="2K"),
        created_at=datetime(2026, 1, 1, 0, 0, number, tzinfo=UTC),
        request_hash="hash",
        blob_stem=f"generated-1-{number}-{user.folder}",
        lease_owner="me",
        lease_expires_at=datetime(2026, 1, 1, 1, tzinfo=UTC),
    )
    return replace(record, **changes)  # type: ignore[arg-type] # the test names fields
