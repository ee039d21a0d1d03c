"""Find the user of a request by the session cookies of NextAuth and Auth.js, in every form."""
