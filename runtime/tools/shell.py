"""The ``shell`` tool: a command line, in a process group that ends with the attempt.

Arguments of the step reach the command as environment variables, and the items of a
batch as JSON lines on its standard input: values are never pasted into the command, so
none of them can become code. What the command leaves running is killed when it exits.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import closing
from typing import IO, Any, ClassVar, Final

import msgspec

from runtime import kernel
from runtime.errors import DataError, Permanent
from runtime.tools.faults import clip, how_it_ended
from runtime.tools.port import Call, Outcome, encode_json
from runtime.tools.progress import parsed, progress
from runtime.tools.variables import SECRET_PREFIX

_KEPT: Final = 1 << 20
"""How much of the output's end is kept for the result."""
_SHOWN: Final = 64 * 1024
_LINE: Final = 1000
"""How much of a line of progress is read."""
_TELLING: Final = 4
"""So many of its last lines say why a command failed: few put the reason into the very last."""
_PIPE_READS: Final = 16
"""Reads of 64 KiB that empty the largest pipe; a writer that never stops has no more of them."""


class CommandFailed(Permanent):
    """The command ended with something other than 0. ``names`` is what `errors:` may say."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"{how_it_ended(code)}{': ' if said else ''}{said}")
        self.names = (str(code),)


class ShellTool:
    """Runs a command with /bin/sh; an exit code other than 0 is a permanent failure."""

    kind: ClassVar[str] = "shell"

    def run(self, call: Call) -> Outcome:
        command, output = _command(call), call.text("output", "text")
        if output not in ("text", "json"):
            raise Permanent(f"tool shell: `output` is text or json, not {output!r}")
        with tempfile.TemporaryFile() as stdin:
            _feed(stdin, call)
            code, text, told = _execute(command, call, stdin)
        if code:
            raise CommandFailed(code, _last_lines(told))
        if output == "json":
            return Outcome(_parsed(_last_line(text)))
        return Outcome({"exit_code": code, "stdout": clip(text, _SHOWN)})


def _execute(command: str | list[str], call: Call, stdin: IO[bytes]) -> tuple[int, str, str]:
    """Run the command; return its exit code and the ends of what it said on both outputs."""
    with closing(_Told()) as told, _started(command, call, stdin, told) as process:
        if process.stdout is None or process.stderr is None:
            raise Permanent("the command's output could not be caught")
        out, err = _Output(process.stdout, 1), _Output(process.stderr, 2)
        _listen(process, [out, err, told])
        return process.wait(), out.text, err.text


def _started(
    command: str | list[str], call: Call, stdin: IO[bytes], told: _Told
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - this is what the tool is for
            command,
            shell=isinstance(command, str),
            cwd=call.run_folder,
            env={"TRIMTAB_PROGRESS": told.path, **_environment(call)},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_begin,
            pass_fds=(told.theirs,),
        )
    except FileNotFoundError as error:
        raise Permanent(f"there is no program {error.filename!r}") from error
    finally:
        os.close(told.theirs)


def _command(call: Call) -> str | list[str]:
    """The command line, or the words that no shell reads."""
    run = call.tool.get("run")
    if isinstance(run, list) and run:
        return [_text(word) for word in run]
    return call.text("run")


def _begin() -> None:
    """Die with the worker, whose watch looks after the memory of commands: they get no limit."""
    kernel.die_with_parent(signal.SIGKILL)
    kernel.limit_memory(None)


class _Told:
    """Lines of progress that the command writes to the file ``$TRIMTAB_PROGRESS``."""

    def __init__(self) -> None:
        self.fd, self.theirs = os.pipe()
        os.set_blocking(self.fd, False)
        self._line = b""

    @property
    def path(self) -> str:
        """What the command opens to write a line."""
        return f"/proc/self/fd/{self.theirs}"

    def pass_on(self) -> bool:
        """Tell the newest whole line that came; whether it is still open."""
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return True
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[-_LINE:]
        if lines:
            progress(*parsed(lines[-1][:_LINE].decode("utf-8", "replace")))
        return bool(data)

    def close(self) -> None:
        os.close(self.fd)


class _Output:
    """One output of the command: passed on as it comes, and its end kept."""

    def __init__(self, pipe: IO[bytes], to: int) -> None:
        self.fd, self._to = pipe.fileno(), to
        self._tail = bytearray()
        os.set_blocking(self.fd, False)

    @property
    def text(self) -> str:
        return self._tail.decode("utf-8", "replace")

    def pass_on(self) -> bool:
        """Read what is there, as much as a pipe holds; whether it is still open."""
        for _ in range(_PIPE_READS):
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            os.write(self._to, data)
            self._tail += data
            del self._tail[:-_KEPT]
        return True


def _listen(process: subprocess.Popen[bytes], outputs: Sequence[_Output | _Told]) -> None:
    """Pass the outputs on until the command has exited or has closed them.

    What it started in the background may hold a pipe open for ever; it is not waited for.
    """
    ended = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        for output in outputs:
            poll.register(output.fd, select.POLLIN)
        left = list(outputs)
        while left:
            ready = {fd for fd, _ in poll.poll()}
            for output in [o for o in left if o.fd in ready or ended in ready]:
                if not output.pass_on():
                    poll.unregister(output.fd)
                    left.remove(output)
            if ended in ready:
                return
    finally:
        os.close(ended)


def _feed(stdin: IO[bytes], call: Call) -> None:
    if call.task.items is not None:
        stdin.writelines(encode_json(item).encode() + b"\n" for item in call.items())
        stdin.seek(0)


def _environment(call: Call) -> dict[str, str]:
    extra = call.tool.get("env") or {}
    if not isinstance(extra, dict):
        raise Permanent("tool shell: `env` must map names to values")
    ours = {"TRIMTAB_KEY": call.task.key, "TRIMTAB_RUN": call.task.run}
    given = {name: _text(value) for name, value in {**call.task.args, **extra}.items()}
    theirs = {n: v for n, v in os.environ.items() if not n.startswith(SECRET_PREFIX)}
    return {**theirs, **ours, **given}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode_json(value)


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(clip(line, _LINE) for line in lines[-_TELLING:])


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _parsed(line: str) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise DataError(f"the last line of the output is not JSON ({error}): {line!r}") from error
