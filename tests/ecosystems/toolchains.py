# SPDX-License-Identifier: Apache-2.0
"""How each language's packages are fetched, and how a case is built of them, below the cache path."""
import fcntl
import os
import pathlib
import re
import shutil
import subprocess

LANGUAGES = {".go": "go", ".rs": "rust", ".js": "node", ".mjs": "node", ".java": "java", ".py": "python"}
VERSION = b"1"  # of what is made here: trees of other versions are made anew
RUST_PROFILE = {"CARGO_PROFILE_RELEASE_OPT_LEVEL": "1", "CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16", "CARGO_PROFILE_RELEASE_DEBUG": "0"}


class Missing(Exception):
    """A toolchain or a registry is not there: the case is skipped."""


class BuildFailed(Exception):
    pass


def path():
    return os.environ["PATH"]


class Making:
    """A tree that is being made: where it lies, and what is shared with others of its language."""

    def __init__(self, case, tree, cache):
        self.case, self.tree, self.cache = case, tree, cache
        self.environment = {
            **os.environ, **RUST_PROFILE, "GOPATH": f"{cache}/go", "GOCACHE": f"{cache}/go-build", "GOFLAGS": "-buildvcs=false -modcacherw", "GOBIN": f"{tree}/bin",
            "CARGO_TARGET_DIR": f"{cache}/cargo-target", "npm_config_cache": f"{cache}/npm", "PIP_CACHE_DIR": f"{cache}/pip",
        }

    def call(self, words, failure, where=None, **environment):
        """Runs a command; its last line of complaint is why it failed."""
        done = subprocess.run([str(word) for word in words], cwd=where or self.tree, env={**self.environment, **environment}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1800)
        if done.returncode:
            lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
            wrong = [line for line in lines if "error" in line.lower()] or lines or [f"status {done.returncode}"]
            raise failure(f"{words[0]} {words[1]}: {wrong[0].strip()}")

    def fetch(self, *words, where=None, **environment):
        self.call(words, Missing, where, **environment)

    def build(self, *words, where=None, **environment):
        self.call(words, BuildFailed, where, **environment)


def versioned(need):
    """name@version or name==version; what stands in [] behind it are features."""
    name, version, features = re.fullmatch(r"(@?[^@=\[]+)(?:@|==)([^\[]+)(?:\[(.*)\])?", need).groups()
    return name, version, [word for word in (features or "").split(",") if word]


def make_go(making):
    case, tree = making.case, making.tree
    static = {"CGO_ENABLED": case.one("cgo", "0")}
    if not case.source:
        for need in case.needs:
            making.fetch("go", "install", need, **static)
        return
    source = tree / "source"
    source.mkdir()
    shutil.copy(case.source, source / "main.go")
    making.build("go", "mod", "init", "example.test/" + case.name, where=source)
    if case.needs:
        making.fetch("go", "get", *case.needs, where=source)
        making.fetch("go", "mod", "tidy", where=source)
    making.build("go", "build", "-o", tree / "bin" / case.name, ".", where=source, **static)


def make_rust(making):
    case, tree = making.case, making.tree
    if not case.source:
        for need in case.needs:
            name, version, features = versioned(need)
            making.fetch("cargo", "install", "--locked", "--root", tree, "--version", version, *(["--features", ",".join(features)] if features else []), name)
        return
    (tree / "src").mkdir()
    shutil.copy(case.source, tree / "src/main.rs")
    lines = [f'[package]\nname = "{case.name}"\nversion = "1.0.0"\nedition = "2021"\n[dependencies]']
    for need in case.needs:
        name, version, features = versioned(need)
        lines.append(f'{name} = {{ version = "={version}", features = {features} }}'.replace("'", '"'))
    (tree / "Cargo.toml").write_text("\n".join(lines) + "\n")
    making.fetch("cargo", "fetch")
    making.build("cargo", "build", "--release", "--offline")
    (tree / "bin").mkdir()
    shutil.copy(making.cache / "cargo-target/release" / case.name, tree / "bin")


def make_node(making):
    case, tree = making.case, making.tree
    if case.source:
        shutil.copy(case.source, tree)
    (tree / "package.json").write_text('{ "name": "case", "version": "1.0.0", "private": true }\n')
    if case.needs:
        making.fetch("npm", "install", "--no-audit", "--no-fund", "--save-exact", *case.needs)


def make_python(making):
    case, tree = making.case, making.tree
    making.build("python3", "-m", "venv", tree / "venv")
    if case.needs:
        making.fetch(tree / "venv/bin/pip", "install", "-q", *case.needs)
    if case.source:
        shutil.copy(case.source, tree)


def make_java(making):
    case, tree = making.case, making.tree
    needs = [dict(zip(("groupId", "artifactId", "version"), need.split(":"))) for need in case.needs]
    listed = "".join("<dependency>" + "".join(f"<{key}>{value}</{key}>" for key, value in need.items()) + "</dependency>" for need in needs)
    (tree / "pom.xml").write_text('<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>test</groupId>'
                                  f"<artifactId>{case.name}</artifactId><version>1</version><dependencies>{listed}</dependencies></project>\n")
    (tree / "lib").mkdir()
    if needs:
        making.fetch("mvn", "-q", "-B", f"-Dmaven.repo.local={making.cache}/m2", "dependency:copy-dependencies", "-DoutputDirectory=lib")
    if case.source:
        making.build("javac", "-nowarn", "-cp", "lib/*", "-d", "classes", case.source)


MAKERS = {"go": (make_go, ["go"]), "rust": (make_rust, ["cargo"]), "node": (make_node, ["node", "npm"]),
          "python": (make_python, ["python3"]), "java": (make_java, ["java", "javac", "mvn"])}


def bring(case, cache):
    """The tree of a case; made at its first use, whole or not at all."""
    make, tools = MAKERS[case.language]
    for tool in tools + case.one("tools").split():
        if not shutil.which(tool):
            raise Missing(f"{tool} is not installed")
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    tree = cache / case.key()
    with open(cache / (tree.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (tree / ".whole").exists():
            return tree
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        making = Making(case, tree, cache)
        make(making)
        for line in case.said.get("build", []):
            making.build("sh", "-ec", line, tree=str(tree))
        (tree / ".whole").touch()
    return tree
