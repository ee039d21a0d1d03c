"""What is done with a model's image before it is stored: with which options, how much memory, and which warnings."""

from dataclasses import replace

import pytest

from image_core.generations.record import WARNING_MASK_MISALIGNED, WARNING_METADATA_LOST
from image_core.images.image import Image, Target
from image_core.images.metadata import png_chunk
from image_core.images.region import Box, Crop
from image_core.models.generated import Options
from tests.support.domain import ADA, LIMITS, REQUEST, Conversion, Preparation, Process, image, masked_edit
from tests.support.fakes.model import Call

PLAIN = image(side=6)
SIGNED = Image(PLAIN.data[:33] + png_chunk(b"caBX", b"\0\0\0\0jumb") + PLAIN.data[33:], "image/png", 6, 6)
"""An image with Content Credentials (C2PA)."""

MASKED = replace(REQUEST, mask="data:,")


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (Options(output_format="webp"), Target(None, "webp", 90)),
        (Options(output_format="jpeg", output_quality=70), Target(None, "jpeg", 70)),
    ],
)
async def test_image_is_converted_for_its_user_as_the_request_says(options: Options, target: Target) -> None:
    process = Process()
    record = await process.make(replace(REQUEST, options=options))
    assert process.converter.calls == [Conversion(ADA, process.model.image, target, 0)]
    assert record.timings is not None
    assert "convert" in record.timings
    assert process.memory.held == 0


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (Options(), Target(None, "png", 90)),
        (Options(output_format="webp", output_quality=70), Target(None, "webp", 70)),
    ],
)
async def test_masked_edit_is_composed_as_the_request_says_with_memory_for_its_files(
    options: Options, target: Target
) -> None:
    process = Process()
    process.loader.edit = masked_edit()
    record = await process.make(replace(MASKED, options=options))
    assert record.edit is not None
    (call,) = process.converter.calls
    assert (call.image, call.target, call.seconds) == (process.model.image, target, LIMITS.compose_seconds)
    assert isinstance(call.of, type(record))
    assert call.of.id == record.id
    assert call.held == record.edit.edited_bytes + record.edit.mask.size
    assert record.timings is not None
    assert "compose" in record.timings
    assert (record.mime_type, process.memory.held) == (f"image/{target.format}", 0)


@pytest.mark.parametrize(("size", "side"), [(None, 2048), ("2K", 2048), ("4K", 4096)])
async def test_part_of_an_image_is_sent_in_more_pixels_where_4k_is_asked_for(size: str | None, side: int) -> None:
    process = Process()
    process.loader.edit = masked_edit()
    await process.make(replace(MASKED, options=Options(image_size=size)))
    assert process.loader.prepared == [Preparation("data:,", 1, {"1:1": (1024, 1024)}, side, ADA, ADA.id)]
    assert process.loader.loaded[0].edit_first


@pytest.mark.parametrize(
    ("made", "part", "warns"), [(4, 6, True), (5, 6, False), (4, 5, False), (6, 6, False)], ids=str
)
async def test_masked_edit_warns_where_the_model_made_less_than_four_fifths_of_its_width(
    made: int, part: int, warns: bool
) -> None:
    process = Process()
    process.loader.edit = replace(masked_edit(), crop=Crop(Box(0, 0, part, part), "1:1"))
    process.model.script = [Call(image=image(side=made))]
    record = await process.make(MASKED)
    assert [each.split(":")[0] for each in record.warnings] == (["size_reduced"] if warns else [])


@pytest.mark.parametrize("mask", [None, "data:,"])
@pytest.mark.parametrize(("made", "lost"), [(SIGNED, (WARNING_METADATA_LOST,)), (PLAIN, ())])
async def test_new_file_warns_where_the_models_image_had_content_credentials(
    made: Image, lost: tuple[str, ...], mask: str | None
) -> None:
    process = Process()
    process.loader.edit = masked_edit()
    process.model.script = [Call(image=made)]
    record = await process.make(replace(REQUEST, mask=mask, options=Options(output_format="webp")))
    assert record.warnings == lost


async def test_warnings_of_the_model_stay_before_those_of_the_edit() -> None:
    process = Process()
    process.loader.edit = masked_edit()
    process.converter.aligned = False
    process.model.script = [Call(image=SIGNED, warnings=("of_the_model: x",))]
    record = await process.make(MASKED)
    assert record.warnings == ("of_the_model: x", WARNING_MASK_MISALIGNED, WARNING_METADATA_LOST)


@pytest.mark.parametrize("mask", [None, "data:,"])
async def test_failed_conversion_keeps_the_warnings_of_the_model(mask: str | None) -> None:
    process = Process()
    process.loader.edit = masked_edit()
    process.converter.fails = True
    process.model.script = [Call(warnings=("of_the_model: x",))]
    record = await process.make(replace(REQUEST, mask=mask, options=Options(output_format="webp")))
    assert [each.split(":")[0] for each in record.warnings] == [
        "of_the_model",
        "format_kept" if mask is None else "mask_not_applied",
    ]
