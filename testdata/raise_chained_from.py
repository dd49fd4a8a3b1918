class ConfigError(Exception):
    """Raised for bad settings."""


def load(text):
    try:
        return float(text)
    except ValueError as e:
        raise ConfigError(f"bad number {text!r}") from e


def start():
    try:
        load("1,5")
    except ConfigError as e:
        raise RuntimeError("cannot start") from e


start()
