"""HTTP without a framework: requests in, responses out."""
