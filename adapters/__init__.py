"""One folder a till protocol: bytes in, commands out; results in, bytes out. Nothing here reaches out."""
