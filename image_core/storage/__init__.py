"""What is kept: pictures, input copies, records."""
