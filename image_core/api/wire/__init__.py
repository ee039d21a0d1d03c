"""The bodies of all requests and responses, as pydantic models: they make the answers and the OpenAPI document."""
