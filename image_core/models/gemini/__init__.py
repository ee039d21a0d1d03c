"""The provider of Google's Gemini image models."""
