"""Classes of `unittest`, with the server started in `setUpModule`, and without a fixture of pytest."""
