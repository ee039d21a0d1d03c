"""Upload forms."""


def form(data: bytes, name: str = "photo.jpg", field: str = "file") -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a multipart form with one file."""
    boundary = "----boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
    return head + data + f"\r\n--{boundary}--\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }
