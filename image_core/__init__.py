"""Images from images: the product, without a web framework. `app.Application` answers requests and runs generations."""

__version__ = "0.2.0"
