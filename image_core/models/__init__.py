"""Gemini: one call, the chain of models, what it costs."""
