"""Storage: protocols of documents and blobs, their adapters, and everything that is kept as blobs."""
