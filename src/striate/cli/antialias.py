"""`--antialias`: the option of a model that has a flag of its own."""

from striate.errors import ArgumentError

HELP = "Blur before every step down, so that the answer depends less on the object's place (Zhang 2019)."


def with_blur(model: str, antialias: bool) -> str:
    """A model's name and options, with the blur that the flag asks for."""
    if not antialias:
        return model
    if "antialias=" in model:
        raise ArgumentError(f"--antialias and {model}: the blur is asked for twice; leave one of them out.")
    return f"{model}{',' if ':' in model else ':'}antialias=true"
