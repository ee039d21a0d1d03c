"""A fake Gemini API: the same wire format, and a painter instead of a model."""
