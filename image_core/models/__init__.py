"""Call image models: catalog, prices, fallback chain, and the provider protocol that `gemini` implements."""
