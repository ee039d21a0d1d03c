"""What a caller asks for: the images, the prompt and the options of one generation."""

from dataclasses import dataclass

from image_core.models.generated import Options


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A checked request for one image.

    `images` and `mask` are as they were sent: data URLs, base64 or addresses. `from_id` is the earlier generation of
    the caller whose image becomes the first input.
    """

    images: tuple[str, ...]
    prompt: str
    options: Options
    from_id: str | None = None
    mask: str | None = None

    @property
    def input_count(self) -> int:
        """The number of images that a model gets: those of the request, and the one of the earlier generation."""
        return len(self.images) + (self.from_id is not None)

    @property
    def size(self) -> int:
        """The characters of the images and the mask together."""
        return sum(map(len, self.images)) + len(self.mask or "")
