"""What went wrong, as text for a person: what happened, then what to do."""


class LabError(Exception):
    """The laboratory cannot do what it was asked to."""


class NotUpInTime(LabError):
    """A machine runs, but systemd in it has not reached its default target."""
