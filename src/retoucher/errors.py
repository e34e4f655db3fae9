"""Errors that a user can act on. Each message says what was wrong and what to do next."""


class RetoucherError(Exception):
    """Base of every error raised on purpose; shells print it as one line, without a traceback."""


class InputError(RetoucherError):
    """The picture, mask, regions or prompt cannot be used as given."""


class OutputError(RetoucherError):
    """The result cannot be written where it was asked for."""


class ConfigError(RetoucherError):
    """A setting is unknown, of the wrong type or out of range."""


class PluginError(RetoucherError):
    """A tool, perceiver or reasoner is unknown, broken or breaks its contract."""


class MissingDependencyError(RetoucherError):
    """An optional part is not installed; the message names the extra that brings it."""


class ToolError(RetoucherError):
    """A tool could not make its edit; the loop records it and leaves the region alone."""


class Cancelled(RetoucherError):
    """Raised inside a tool when the caller asked to stop; nothing done so far is lost."""
