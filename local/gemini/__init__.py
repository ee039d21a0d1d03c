"""A fake Gemini API: it speaks Gemini's wire format, and paints images instead of calling a model."""
