"""Read a compiled template from standard input, and list the types of resources that it would create."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any


def kinds(template: Mapping[str, Any]) -> Iterator[str]:
    """Yield the type of every resource, also in nested modules. Existing resources are left out."""
    resources = template["resources"]
    for resource in resources.values() if isinstance(resources, dict) else resources:
        if resource.get("existing"):
            continue
        nested = resource.get("properties", {}).get("template") if "deployments" in resource["type"] else None
        if nested is None:
            yield resource["type"]
        else:
            yield from kinds(nested)


if __name__ == "__main__":
    for kind, count in sorted(Counter(kinds(json.load(sys.stdin))).items()):
        print(f"  {kind}" + (f" ({count})" if count > 1 else ""))
