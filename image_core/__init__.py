"""The product: an API that makes images from images, without a web framework.

`app.Application` is the entry point: it answers requests and runs generations.
"""

__version__ = "0.2.0"
