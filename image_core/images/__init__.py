"""Raster images: read their headers, remove metadata, convert them in a sandbox, and compose masked edits."""
