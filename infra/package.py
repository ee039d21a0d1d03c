"""Pack the code for Azure into a zip: the files that `.funcignore` leaves, the same bytes for the same files.

`python infra/package.py app.zip` prints the number of files. Azure installs the packages itself (remote build).
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARTS = ("function_app.py", "host.json", "requirements.txt", "image_core")
EPOCH = (1980, 1, 1, 0, 0, 0)


def files() -> list[Path]:
    """Return every file of the product, sorted, without compiled Python."""
    found = [ROOT / part for part in PARTS if (ROOT / part).is_file()]
    found += [path for part in PARTS for path in (ROOT / part).rglob("*") if path.is_file()]
    return sorted(path for path in found if path.suffix != ".pyc")


def build(target: Path) -> int:
    """Write the zip; return the number of its files."""
    packed = files()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in packed:
            entry = zipfile.ZipInfo(path.relative_to(ROOT).as_posix(), EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return len(packed)


if __name__ == "__main__":
    print(f"packed {build(Path(sys.argv[1]))} files")
