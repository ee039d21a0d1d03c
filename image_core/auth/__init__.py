"""Who sends a request: the session cookies of NextAuth and Auth.js, in every form."""
