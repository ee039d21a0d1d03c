"""Images from images: the product, without a web framework.

`wiring.build` is the way in; `api.routes` is what it serves.
"""

__version__ = "0.1.0"
