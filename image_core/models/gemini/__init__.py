"""Google's Gemini image models."""
