"""Unusual and malicious files, and how each must end: as an image, or with an error code."""

UNUSUAL: dict[str, str] = {
    "alpha.png": "image",
    "animated.gif": "image",
    "animated.webp": "image",
    "arithmetic-progressive.jpg": "image",
    "arithmetic.jpg": "image",
    "bomb.png": "image_too_large",
    "cat.heic": "image",
    "cmyk.jpg": "image",
    "empty.png": "invalid_image",
    "jpeg-named.png": "image",
    "page.html.png": "unsupported_media_type",
    "palette.png": "image",
    "photo.avif": "image",
    "photo.bmp": "image",
    "photo.tiff": "image",
    "rotated-by-exif.jpg": "image",
    "script.svg": "unsupported_media_type",
    "sixteen-bit.png": "image",
    "truncated.jpg": "invalid_image",
}
