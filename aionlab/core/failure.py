"""What is kept of an error: enough to show it, compare it and raise it again, whatever the original did.

`failure_of` takes an error apart and never raises; `error_of` puts one together whose class is the recorded one where that is known
and whose text is the recorded one always: `str(error_of(f, c)) == f.message`. What the two make of each other is stable: the failure
of a rebuilt error has the type, message, bases and fields of the first.
"""
from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from .classes import Unresolved, recorded_name, spelled
from .codecs import MARK, told
from .durations import micros
from .errors import ActivityError, AionError, ApplicationError, ChildWorkflowError, InvalidPayload, WorkflowFailedError, shorten
from .jsontext import dumps, loads

if TYPE_CHECKING:
    from .payload import Converter

MESSAGE_LIMIT = 64 * 1024
"""Bytes of a message, the note that it was cut included."""
TRACE_LIMIT = 16 * 1024
FIELDS_LIMIT = 64 * 1024
CHAIN_LIMIT = 10
"""Errors kept of a chain of causes."""
GROUP_LIMIT = 100
"""Errors kept in all: of a group, of its groups, and their causes."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_LIBRARY = PurePath(traceback.__file__).parent
_MACHINERY = ("<frozen", *(f"{folder.as_posix()}/" for folder in (PurePath(__file__).parent.parent, _LIBRARY / "asyncio", _LIBRARY / "concurrent")))


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as recorded. Texts are valid UTF-8 and at most 64 KiB."""

    type: str
    """Recorded name of the class, as `core.classes` names classes."""
    message: str
    bases: tuple[str, ...] = ()
    """Plain names of the class and its bases, nearest first, for retry policies; an ApplicationError's own `type` comes before them."""
    fields: Any = None
    """What rebuilds the error: an object of encoded trees (`args`, `state`, …), or None when nothing could be encoded."""
    traceback: str = ""
    """The frames of the user's code, as text."""
    source: str = ""
    """"file:line, in function" of the innermost frame of the user's code."""
    cause: Failure | None = None
    non_retryable: bool = False
    next_retry_delay: int | None = None
    """Microseconds."""
    sealed: bytes | None = None
    """The record as it is stored, where it cannot be read here; the rest then only says so."""

    @property
    def name(self) -> str:
        """What people call the error: the class's name without its module, or the type its author gave it."""
        return self.bases[0] if self.bases else self.type.rpartition(":")[2]

    def to_bytes(self) -> bytes:
        return self.sealed or dumps(self.to_tree())

    @classmethod
    def from_bytes(cls, text: bytes) -> Failure:
        why = told(text) if text[:1] == MARK else None
        if why is not None:
            return cls("aionlab.core.errors:PayloadSealed", why, ("PayloadSealed", "StoreError"), sealed=text)
        return cls.from_tree(loads(text))

    def to_tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {"type": self.type, "message": self.message}
        for name in ("bases", "traceback", "source", "non_retryable"):
            value = getattr(self, name)
            if value:
                tree[name] = list(value) if name == "bases" else value
        for name in ("fields", "next_retry_delay"):
            value = getattr(self, name)
            if value is not None:
                tree[name] = value
        if self.cause is not None:
            tree["cause"] = self.cause.to_tree()
        return tree

    @classmethod
    def from_tree(cls, tree: Any, *, levels: int = 100) -> Failure:
        """Causes below `levels` are left out. Raises TypeError or KeyError when the tree is none of a failure."""
        if type(tree) is not dict:
            raise TypeError("not the record of an error")
        texts = [tree["type"], tree["message"], tree.get("traceback", ""), tree.get("source", ""), *tree.get("bases", ())]
        delay = tree.get("next_retry_delay")
        if not all(type(text) is str for text in texts) or not (delay is None or type(delay) is int):
            raise TypeError("not the record of an error")
        return cls(
            type=tree["type"],
            message=tree["message"],
            bases=tuple(tree.get("bases", ())),
            fields=tree.get("fields"),
            traceback=tree.get("traceback", ""),
            source=tree.get("source", ""),
            cause=cls.from_tree(tree["cause"], levels=levels - 1) if tree.get("cause") and levels else None,
            non_retryable=bool(tree.get("non_retryable", False)),
            next_retry_delay=delay,
        )


def user_file(filename: str) -> bool:
    """Whether a frame of this file is the user's, not the machinery's: neither aionlab, asyncio nor an executor."""
    return not filename.replace("\\", "/").startswith(_MACHINERY)


# --- taking apart ----------------------------------------------------------------------------------------------------


def failure_of(exc: BaseException, converter: Converter, *, user_file: Callable[[str], bool] = user_file) -> Failure:
    """The error as a record. Never raises, whatever the error's class does."""
    return _Taker(converter, user_file).failure(exc, 0)


class _Taker:
    """Takes one error apart, with its causes and the members of groups; counts them, and sees cycles."""

    __slots__ = ("active", "converter", "left", "user_file")

    def __init__(self, converter: Converter, user_file: Callable[[str], bool]) -> None:
        self.converter, self.user_file = converter, user_file
        self.active: set[int] = set()
        self.left = GROUP_LIMIT

    def failure(self, exc: BaseException, depth: int) -> Failure:
        self.left -= 1
        self.active.add(id(exc))
        try:
            trace, source = _trace(exc, self.user_file)
            rebuilt = _recorded(exc)
            if rebuilt is not None:
                kind, message, bases, fields = rebuilt.type, rebuilt.message, rebuilt.bases, rebuilt.fields
                trace, source = trace or rebuilt.traceback, source or rebuilt.source
            else:
                kind, message, bases = _class_name(type(exc)), _message(exc), _bases(exc)
                fields = self._fields(exc, depth)
            return Failure(kind, message, bases, fields, trace, source, self._cause(exc, depth), _non_retryable(exc), _delay(exc))
        finally:
            self.active.discard(id(exc))

    def _cause(self, exc: BaseException, depth: int) -> Failure | None:
        known = _attribute(exc, "failure") if issubclass(type(exc), AionError) else None
        if isinstance(known, Failure):
            return known
        cause = _own(exc, "__cause__") or (None if _own(exc, "__suppress_context__") else _own(exc, "__context__"))
        if cause is None or id(cause) in self.active or depth + 1 >= CHAIN_LIMIT or self.left <= 0:
            return None
        return self.failure(cause, depth + 1)

    def _fields(self, exc: BaseException, depth: int) -> Any:
        fields: dict[str, Any] = {}
        if issubclass(type(exc), BaseExceptionGroup):
            members = []
            for member in BaseExceptionGroup.exceptions.__get__(exc):
                if id(member) in self.active or depth + 1 >= CHAIN_LIMIT or self.left <= 0:
                    break
                members.append(self.failure(member, depth + 1).to_tree())
            fields["message"], fields["group"] = clean(BaseExceptionGroup.message.__get__(exc)), members
        else:
            args = self._args(_args(exc))
            if args is not None:
                fields["args"] = args
        own = _attribute(exc, "type") if issubclass(type(exc), ApplicationError) else None
        if type(own) is str and own != _true_class(type(exc)).__name__:
            fields["named"] = clean(own, 200)
        if issubclass(type(exc), AionError) and isinstance(_attribute(exc, "failure"), Failure):
            fields["failure"] = True
        state: dict[str, Any] = {}
        for name, value in _state(exc):
            if value is not None and value is _own(exc, "__cause__"):
                fields.setdefault("cause", []).append(name)
            elif (tree := self._tree(value)) is not _ABSENT:
                state[clean(name, 200)] = tree
        if state:
            fields["state"] = state
        if "group" not in fields and len(dumps(fields)) > FIELDS_LIMIT:
            return None
        return fields or None

    def _args(self, args: tuple[Any, ...]) -> list[Any] | None:
        """The trees of the arguments; one of several that cannot be encoded is told by its repr. None when a single one cannot."""
        trees = [self._tree(arg) for arg in args]
        if len(trees) == 1 and trees[0] is _ABSENT:
            return None
        return [self._tree(_described(arg)) if tree is _ABSENT else tree for arg, tree in zip(args, trees, strict=True)]

    def _tree(self, value: Any) -> Any:
        try:
            tree = self.converter.tree_of(value, errors=False, levels=60)
            return tree if len(dumps(tree)) <= FIELDS_LIMIT else _ABSENT
        except Exception:  # noqa: BLE001 - the attributes of a user's error may be and do anything; it is then recorded without
            return _ABSENT


_ABSENT: Any = object()


def _described(value: Any) -> Unresolved:
    try:
        text = shorten(value, 200)
    except BaseException:  # noqa: BLE001 - a `__repr__` of the user's may raise anything, and this runs while an error is handled
        text = "?"
    return Unresolved(clean(spelled(type(value)), 200) + " as text", {"repr": clean(text)})


def _class_name(cls: type) -> str:
    """The recorded name of an error's class; a stand-in's is that of the class it stands for."""
    try:
        return clean(recorded_name(_true_class(cls)))
    except Exception:  # noqa: BLE001 - a metaclass may raise anything
        return "Exception"


def _true_class(cls: type) -> type:
    return cls.__mro__[1] if "__aionlab_text__" in cls.__dict__ else cls


def _message(exc: BaseException) -> str:
    try:
        text = str(exc)
    except BaseException as error:  # noqa: BLE001 - `__str__` of the user's may raise anything, and this runs while an error is handled
        return clean(f"<{type(exc).__name__}, whose text cannot be had: __str__ raised {type(error).__name__}>")
    return clean(text)


def clean(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text as plain str of valid UTF-8: lone surrogates become U+FFFD, and what is longer than `limit` bytes is cut, saying so."""
    plain = str.__str__(text) if type(text) is not str else text
    size = len(plain)
    plain = plain[: limit + 1]
    if not plain.isascii():
        plain = _SURROGATES.sub("\ufffd", plain)
    if size <= limit and (plain.isascii() or len(plain.encode()) <= limit):
        return plain
    note = f" … (cut; {size:,} characters in all)"
    return plain.encode()[: limit - len(note.encode())].decode(errors="ignore") + note


def _bases(exc: BaseException) -> tuple[str, ...]:
    names = [clean(cls.__name__, 200) for cls in type(exc).__mro__ if cls not in (object, BaseException)]
    own = _attribute(exc, "type") if issubclass(type(exc), ApplicationError) else None
    if type(own) is str:
        names.insert(0, clean(own, 200))
    return tuple(dict.fromkeys(names)) or ("BaseException",)


def _args(exc: BaseException) -> tuple[Any, ...]:
    """What the built-in part of the error is made of: `args`, and an OSError's file names."""
    if issubclass(type(exc), OSError):
        reduced = OSError.__reduce__(exc)
        if isinstance(reduced, tuple) and len(reduced) > 1 and isinstance(reduced[1], tuple):
            return reduced[1]
    found: tuple[Any, ...] = _own(exc, "args")
    return found


_HIDDEN = "_aionlab_failure"


def _state(exc: BaseException) -> Iterator[tuple[str, Any]]:
    """The error's attributes, but those that are recorded otherwise."""
    try:
        state = dict(object.__getattribute__(exc, "__dict__"))
        for cls in type(exc).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else tuple(slots):
                if not name.startswith("__") and hasattr(exc, name):
                    state.setdefault(name, getattr(exc, name))
    except Exception:  # noqa: BLE001 - attributes of a user's class may raise anything
        return
    told: set[str] = {_HIDDEN}
    if issubclass(type(exc), ApplicationError):
        told |= {"type", "non_retryable", "next_retry_delay"}
        args = _args(exc)
        if args and state.get("message") is args[0]:
            told.add("message")
        if state.get("details") == args[1:]:
            told.add("details")
    elif issubclass(type(exc), AionError):
        told |= {"failure", "causes"}
    for name, value in state.items():
        if type(name) is str and name not in told and (not name.startswith("__") or name == "__notes__"):
            yield name, value


def _own(exc: BaseException, name: str) -> Any:
    """What every exception has, past whatever its class does to attributes."""
    return BaseException.__dict__[name].__get__(exc)


def _attribute(exc: BaseException, name: str) -> Any:
    try:
        return getattr(exc, name, None)
    except Exception:  # noqa: BLE001 - a property of the user's may raise anything
        return None


def _non_retryable(exc: BaseException) -> bool:
    return issubclass(type(exc), ApplicationError) and bool(_attribute(exc, "non_retryable"))


def _delay(exc: BaseException) -> int | None:
    delay = _attribute(exc, "next_retry_delay") if issubclass(type(exc), ApplicationError) else None
    try:
        return None if delay is None else micros(delay)
    except (ValueError, TypeError, OverflowError):
        return None


def _trace(exc: BaseException, user_file: Callable[[str], bool]) -> tuple[str, str]:
    """The user's frames as text (the innermost are kept when it is long) and where the innermost is."""
    try:
        frames = [frame for frame in traceback.extract_tb(_own(exc, "__traceback__"), limit=-200) if user_file(frame.filename)]
        if not frames:
            return "", ""
        last = frames[-1]
        text = clean("".join(traceback.format_list(frames)), 10 * TRACE_LIMIT)
        if len(text) > TRACE_LIMIT:
            text = "  …\n" + text[-TRACE_LIMIT:]
        return text, clean(f"{last.filename}:{last.lineno}, in {last.name}", 1000)
    except Exception:  # noqa: BLE001 - source lines come from files and caches that may be gone or odd
        return "", ""


# --- putting together ------------------------------------------------------------------------------------------------


def error_of(failure: Failure, converter: Converter) -> BaseException:
    """The error to raise for a record: of the recorded class where that is known and an Exception, else an ApplicationError whose
    `type` is its name. Its `__init__` is not called; its text is the recorded one."""
    cause = error_of(failure.cause, converter) if failure.cause is not None else None
    fields = failure.fields if isinstance(failure.fields, dict) else {}
    made = _known(failure, fields, cause, converter) or _stranger(failure, fields, converter)
    if cause is not None:
        made.__cause__ = cause
    try:
        object.__getattribute__(made, "__dict__")[_HIDDEN] = (failure, _args(made), _attributes(made))
    except AttributeError:
        pass
    return made


def _known(failure: Failure, fields: dict[str, Any], cause: BaseException | None, converter: Converter) -> Exception | None:
    """The error with its own class; None when the class is not known or no Exception, or cannot be made."""
    try:
        cls = converter.class_of(failure.type)
        if cls is None or not issubclass(cls, (Exception, BaseExceptionGroup)):
            return None
        for kind, args in _ways(cls, failure, fields, converter):
            made = _bare(kind, args)
            _restore(made, failure, fields, cause, converter)
            if isinstance(made, Exception) and _says(made, failure.message):
                return made
    except Exception:  # noqa: BLE001 - users' classes may raise anything, and records may be damaged; the stranger always works
        pass
    return None


def _says(made: Exception, message: str) -> bool:
    try:
        return str(made) == message
    except BaseException:  # noqa: BLE001 - `__str__` of the user's may raise anything, SystemExit included
        return False


def _ways(cls: type, failure: Failure, fields: dict[str, Any], converter: Converter) -> Iterator[tuple[type, tuple[Any, ...]]]:
    """What to make the error of, best first: its arguments, its text as the only argument, a class that says the recorded text."""
    args: tuple[Any, ...] | None = None
    if "group" in fields:
        members = [error_of(Failure.from_tree(tree), converter) for tree in fields["group"]]
        args = (fields["message"], members)
        yield cls, args
    elif "args" in fields:
        try:
            args = tuple(converter.value_of(fields["args"]))
        except InvalidPayload:  # of classes that have changed since
            args = None
        else:
            yield cls, args
    if args is None or len(args) < 2:
        yield cls, (failure.message,)
    told = {"__str__": lambda self: failure.message, "__aionlab_text__": True, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    yield type(cls)(cls.__name__, (cls,), told), args if args is not None else (failure.message,)


def _bare(cls: type, args: tuple[Any, ...]) -> Any:
    """An instance made by the built-in part of the class alone: nobody's `__new__` or `__init__` runs."""
    for base in cls.__mro__:
        if base.__module__ != "builtins":
            continue
        try:
            made: Any = base.__new__(cls, *args)
        except TypeError:  # not the base that lays the instance out, or it wants other arguments
            continue
        try:
            base.__init__(made, *args)  # type: ignore[misc]  # the base's, on purpose
        except TypeError:
            made.args = args
        return made
    raise TypeError(f"{spelled(cls)} cannot be made")


def _restore(made: Any, failure: Failure, fields: dict[str, Any], cause: BaseException | None, converter: Converter) -> None:
    if isinstance(made, ApplicationError):
        made.message = made.args[0] if made.args else ""
        made.details = made.args[1:]
        made.type = fields.get("named") or _true_class(type(made)).__name__
        made.non_retryable = failure.non_retryable
        made.next_retry_delay = None if failure.next_retry_delay is None else timedelta(microseconds=failure.next_retry_delay)
    elif isinstance(made, (ActivityError, ChildWorkflowError, WorkflowFailedError)):
        made.failure = failure.cause if fields.get("failure") else None
    for name, tree in fields.get("state", {}).items():
        if not name.startswith("__") or name == "__notes__":
            try:
                object.__setattr__(made, name, converter.value_of(tree))
            except (AttributeError, TypeError, ValueError):
                continue
    for name in fields.get("cause", ()):
        if not name.startswith("__"):
            object.__setattr__(made, name, cause)
    if isinstance(made, ActivityError):
        made.causes = (*earlier_errors(made.earlier, lambda tree: error_of(tree, converter)), *(() if cause is None else (cause,)))


def earlier_errors(trees: Any, rebuilt: Callable[[Failure], BaseException]) -> tuple[BaseException, ...]:
    """The errors of the attempts before the last, from their records."""
    return tuple(rebuilt(Failure.from_tree(tree)) for tree in trees or ())


def _stranger(failure: Failure, fields: dict[str, Any], converter: Converter) -> ApplicationError:
    details: tuple[Any, ...] = ()
    try:
        details = tuple(converter.value_of(fields.get("args", [])))
    except Exception:  # noqa: BLE001 - a damaged record; its text is enough
        pass
    delay = None if failure.next_retry_delay is None else timedelta(microseconds=failure.next_retry_delay)
    return ApplicationError(failure.message, *details, type=failure.name, non_retryable=failure.non_retryable, next_retry_delay=delay)


def _attributes(exc: BaseException) -> dict[str, Any]:
    return {name: value for name, value in object.__getattribute__(exc, "__dict__").items() if name not in (_HIDDEN, "__notes__")}


def _recorded(exc: BaseException) -> Failure | None:
    """The record this error was rebuilt from, unless it was changed since."""
    try:
        failure, args, before = object.__getattribute__(exc, "__dict__")[_HIDDEN]
        now = _attributes(exc)
        same = all(a is b for a, b in zip(args, _args(exc), strict=True)) and now.keys() == before.keys()
        return failure if same and all(now[name] is before[name] for name in now) else None
    except Exception:  # noqa: BLE001 - there is no such record
        return None
