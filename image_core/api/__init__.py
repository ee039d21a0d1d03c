"""Answer HTTP requests without a web framework: routes, checks of origin and session, handlers, OpenAPI document."""
