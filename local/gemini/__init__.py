"""A stand-in for the Gemini API: the same wire format, a painter instead of a model. It says what it is."""
