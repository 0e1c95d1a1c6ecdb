# SPDX-License-Identifier: Apache-2.0
"""A python3 that has started: python3 python3.py [MODULE...] imports the modules, and is copied; each copy is the python3 that it is asked to be (docs/state.md, Templates).

Of python3's options it knows -c, -m, -u and those without effect here (-B -E -I -P -q -s); the others are for its start, which was before.
"""
import builtins
import gc
import importlib.machinery
import io
import os
import runpy
import sys
import types


def wait_to_be_copied():
    """What this copy is asked for: its arguments and its environment."""
    with open("/dev/template", "rb", buffering=0) as template:
        request = template.readall()
    words = [word.partition(b"=")[::2] for word in request.split(b"\0")[:-1]]
    arguments = [os.fsdecode(value) for key, value in words if key == b"arg"]
    return arguments, dict(value.partition(b"=")[::2] for key, value in words if key == b"env")


def take_environment(variables):
    for name in set(os.environb) - set(variables):
        del os.environb[name]
    for name, value in variables.items():
        if os.environb.get(name) != value:
            os.environb[name] = value


def forget_numbers():
    """Generators that were seeded before, of which every copy would have the same numbers."""
    loaded = sys.modules
    if "random" in loaded:
        loaded["random"].seed()
    if "numpy.random" in loaded:
        loaded["numpy.random"].seed()
    if "tempfile" in loaded:
        loaded["tempfile"]._name_sequence = None
    if "ssl" in loaded:
        loaded["ssl"].RAND_add(os.urandom(64), 64.0)


def reopen(old, fd, unbuffered=False):
    """Its buffering is of what it leads to now."""
    try:
        raw = io.FileIO(fd, "w" if fd else "r", closefd=False)
    except OSError:
        return None
    buffer = io.BufferedWriter(raw) if fd else io.BufferedReader(raw)
    encoding, errors = (old.encoding, old.errors) if old else ("utf-8", "strict" if fd < 2 else "backslashreplace")
    return io.TextIOWrapper(buffer, encoding, errors, line_buffering=fd == 2 or bool(fd) and raw.isatty(), write_through=unbuffered)


def take_streams(unbuffered):
    sys.stdin = sys.__stdin__ = reopen(sys.stdin, 0)
    sys.stdout = sys.__stdout__ = reopen(sys.stdout, 1, unbuffered)
    sys.stderr = sys.__stderr__ = reopen(sys.stderr, 2, unbuffered)


def new_main():
    """The program's module; ours stays, under another name."""
    sys.modules["__lightvm_template__"] = sys.modules["__main__"]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__builtins__ = builtins
    return main.__dict__


def run(code, name, names):
    """As python3 does, without our own frames in what it says of an exception."""
    try:
        if not isinstance(code, types.CodeType):
            code = compile(code, name, "exec", dont_inherit=True)
        exec(code, names)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__ and error.__traceback__.tb_next)
        sys.exit(1)


def run_file(path, names):
    if os.path.isdir(path):
        sys.path[0:1] = []
        runpy.run_path(path, run_name="__main__")
        return
    try:
        with io.open_code(os.path.abspath(path)) as file:
            code = file.read()
    except OSError as error:
        print(f"{sys.orig_argv[0]}: can't open file {os.path.abspath(path)!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        sys.exit(2)
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    path = os.path.abspath(path)
    names.update(__file__=path, __cached__=None, __spec__=None, __loader__=importlib.machinery.SourceFileLoader("__main__", path))
    run(code, path, names)


def be(arguments):
    """python3 with these arguments."""
    sys.orig_argv = list(arguments)
    words, unbuffered = arguments[1:], bool(os.environ.get("PYTHONUNBUFFERED"))
    while words and words[0][:1] == "-" and words[0] != "-" and words[0][1:2] not in "cm" and set(words[0][1:]) <= set("uBEIPqs"):
        unbuffered |= "u" in words.pop(0)
    take_streams(unbuffered)
    names = new_main()
    what = words[0] if words else "-"
    if what[:2] in ("-c", "-m"):
        rest = [what[2:], *words[1:]] if what[2:] else words[1:]
        if not rest:
            print(f"Argument expected for the {what} option", file=sys.stderr)
            sys.exit(2)
        sys.argv = [what[:2], *rest[1:]]
        sys.path[0] = "" if what[:2] == "-c" else os.getcwd()
        if what[:2] == "-c":
            run(rest[0], "<string>", names)
        else:
            runpy._run_module_as_main(rest[0])
    elif what == "-":
        sys.argv, sys.path[0] = ["-", *words[1:]] if words else [""], ""
        run(sys.stdin.read(), "<stdin>", names)
    elif what[0] == "-":
        print(f"{__doc__.splitlines()[0].split(':')[0]}: the option {what} is of python3's start, which was before", file=sys.stderr)
        sys.exit(2)
    else:
        sys.argv = words
        run_file(what, names)


def rehearse():
    """What every copy does is done once, so that its code and data are there; and what is there stays out of the copies' garbage collections, which would touch all of it."""
    forget_numbers()
    take_environment(dict(os.environb))
    for fd in range(3):
        reopen(None, fd)
    exec(compile("pass", "<string>", "exec", dont_inherit=True), {"__builtins__": builtins})
    gc.collect()
    gc.freeze()


def start():
    for module in sys.argv[1:]:
        __import__(module)
    rehearse()
    arguments, variables = wait_to_be_copied()
    forget_numbers()
    if arguments:
        take_environment(variables)
        be(arguments)


if __name__ == "__main__":
    start()
