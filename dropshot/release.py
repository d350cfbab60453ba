"""The release of all our packages together. The build reads it here, and so does every `--version`."""

RELEASE = "0.1.0"
