"""Who is calling: the session cookies of NextAuth, in every form that it gives them."""
