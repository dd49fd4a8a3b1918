raise TimeoutError(110, "Connection timed out", "host")
