"""Find the handler that TARGET names."""

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from asyncbatch import BatchHandler
from asyncbatch.cli._exits import InputError

DEFAULT_FUNCTION = "lambda_handler"
PACKAGE = str(Path(__file__).parent.parent)

Handler = BatchHandler[Any] | Callable[[Any, Any], object]


def is_batch_handler(handler: object) -> TypeGuard[BatchHandler[Any]]:
    """Whether a handler is asyncbatch's, so that its outcomes can be told."""
    return isinstance(handler, BatchHandler)


def load_target(target: str) -> Handler:
    """Return the handler that `target` names.

    Args:
        target: `module:function` or `path/file.py:function`; without a function, `lambda_handler`.

    Raises:
        InputError: There is no such module, file or function, importing it raised, or Lambda could
            not call what was found.
    """
    location, function = _split(target)
    module = _load_file(Path(location)) if location.endswith(".py") else _load_module(location)
    handler = _find(module, location, function)
    _check(handler, f"{location}:{function}")
    return handler


def _split(target: str) -> tuple[str, str]:
    location, colon, function = target.rpartition(":")
    if not colon or target.endswith(".py"):  # the colon may be a drive's
        return target, DEFAULT_FUNCTION
    if not location or not function:
        raise InputError(
            f"{target!r} does not name a handler. Write module:function or path/file.py:function."
        )
    return location, function


def _load_module(name: str) -> ModuleType:
    # Lambda finds modules in the function's folder; here that is the one the command runs in.
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _import_failed(name, error) from error
        raise InputError(f"There is no module {name!r}.{_module_hint(name)}") from error
    except Exception as error:
        raise _import_failed(name, error) from error


def _module_hint(name: str) -> str:
    head, _, tail = name.rpartition(".")
    if head and Path(*head.split(".")).with_suffix(".py").is_file():
        return f" Lambda writes module.function; here it is {head}:{tail}."
    return f" It was looked for in {Path.cwd()} and on Python's path."


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    # Lambda imports the file as a module from its own folder, so that its neighbours are found.
    sys.path.insert(0, str(path.parent.resolve()))
    name = path.stem if path.stem not in sys.modules else f"{path.stem}_{len(sys.modules)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:  # pragma: no cover - every .py file has a loader
        raise InputError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and Pydantic look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _import_failed(str(path), error) from error
    return module


def _import_failed(location: str, error: Exception) -> InputError:
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        return InputError(f"{location} imports {error.name!r}, which is not installed in {sys.prefix}.")
    # Frames of this package and of the import system are of no use to the reader.
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((PACKAGE, "<frozen "))
    ]
    stack = "".join(traceback.format_list(frames))
    reason = "".join(traceback.format_exception_only(error))
    return InputError(f"{location} could not be imported:\n{stack}{reason}".rstrip())


def _find(module: ModuleType, location: str, function: str) -> Handler:
    found: Any = module
    for name in function.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise InputError(f"{location} has no {function!r}.{_function_hint(module, function)}") from error
    return found  # type: ignore[no-any-return]  # _check is next


def _function_hint(module: ModuleType, wanted: str) -> str:
    own = [
        name
        for name, value in vars(module).items()
        if isinstance(value, BatchHandler)
        or (inspect.isfunction(value) and value.__module__ == module.__name__)
    ]
    near = difflib.get_close_matches(wanted, own, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    if own:
        return f" It has: {', '.join(own[:5])}."
    return " It defines no function."


def _check(handler: object, name: str) -> None:
    if isinstance(handler, BatchHandler):
        return
    if not callable(handler):
        raise InputError(
            f"{name} is of type {type(handler).__name__}, and Lambda needs something it can call: "
            "a function (event, context), or an async function under @batch_handler."
        )
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        raise InputError(
            f"{name} is an async function. Lambda cannot run one: it would get a coroutine, "
            "and nothing would be processed. Put @batch_handler on a function of one record."
        )
