"""Draw the imports between packages as a Mermaid diagram in docs/design.md.

`python checks/import_diagram.py` writes it. With `--check` it exits with 1 if the diagram is out of date.
"""

import sys
from pathlib import Path

import grimp

sys.path.insert(0, str(Path(__file__).parent.parent))

from checks.generated_part import update

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "design.md"
BEGIN, END = "<!-- imports: written by `make format` -->\n\n```mermaid\n", "```\n\n<!-- /imports -->"
PRODUCT = "image_core"
OUTSIDE = ("operations", "local", "benchmarks")
FOUNDATION = ("auth", "runtime", "settings", "errors", "clock", "email_address")
"""Used by almost all packages: drawn as one node, without the arrows to it."""


def packages(graph: grimp.ImportGraph) -> list[str]:
    """Return the packages and modules that are drawn, sorted."""
    inside = sorted(graph.find_children(PRODUCT))
    return [name for name in inside if _short(name) not in FOUNDATION] + list(OUTSIDE)


def edges(graph: grimp.ImportGraph, drawn: list[str]) -> list[tuple[str, str]]:
    """Return the direct imports (importer, imported). Outside of the product `image_core` counts as one package."""
    found = set()
    for importer in drawn:
        for imported in [*drawn, PRODUCT]:
            inside = importer.startswith(PRODUCT)
            if importer == imported or inside == (imported == PRODUCT):
                continue
            if not inside and imported.startswith(f"{PRODUCT}."):
                continue
            if graph.direct_import_exists(importer=importer, imported=imported, as_packages=True):
                found.add((importer, imported))
    return sorted(found)


def diagram() -> str:
    """Return the diagram's lines."""
    sys.path.insert(0, str(ROOT))
    graph = grimp.build_graph(PRODUCT, *OUTSIDE, cache_dir=None)
    drawn = packages(graph)
    lines = ["flowchart TD", f"  subgraph {PRODUCT}"]
    lines += [f"    {_short(name)}" for name in drawn if name.startswith(PRODUCT)]
    lines += [f'    foundation["{", ".join(FOUNDATION)}"]', "  end"]
    lines += [f"  {_short(importer)} --> {_short(imported)}" for importer, imported in edges(graph, drawn)]
    return "\n".join(lines) + "\n"


def _short(name: str) -> str:
    return name.removeprefix(f"{PRODUCT}.")


if __name__ == "__main__":
    sys.exit(update(PAGE, BEGIN, END, diagram(), check="--check" in sys.argv))
