"""An S3 endpoint that throws away what it receives, so that the client is what a benchmark measures."""
