"""The API's description of itself: OpenAPI 3.1, and a page of it. Nothing here is imported before somebody asks for it."""
