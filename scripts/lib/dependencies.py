#!/usr/bin/env python3
"""dependencies.py - checks what the binaries are made of.

  scripts/lib/dependencies.py [CARGO]

Of the packages that end up in a binary, on any processor that scripts/build.sh knows:
  - each is under a licence of the list below,
  - each comes from crates.io,
  - none is there in two versions.
What only tests, the build or other systems need is not looked at.

Exit status: 0 all is well, 1 something is not.
"""
import json
import re
import subprocess
import sys

# They allow a static binary without conditions beyond their text being passed on.
LICENCES = {"MIT", "Apache-2.0", "Zlib", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unlicense"}
TARGETS = (
    "aarch64-unknown-linux-musl",
    "armv7-unknown-linux-musleabihf",
    "arm-unknown-linux-musleabihf",
    "riscv64gc-unknown-linux-musl",
    "x86_64-unknown-linux-musl",
)


def allowed(expression):
    """Whether an SPDX expression can be met with LICENCES: AND binds closer than OR."""
    tokens = re.findall(r"[()]|[^\s()/]+", expression.replace("/", " OR "))

    def either():
        result = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            result = both() or result
        return result

    def both():
        result = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            result = one() and result
        return result

    def one():
        token = tokens.pop(0) if tokens else ""
        if token == "(":
            result = either()
            if not tokens or tokens.pop(0) != ")":
                raise ValueError(expression)
            return result
        if tokens and tokens[0] == "WITH":
            del tokens[:2]
            return False
        return token in LICENCES

    result = either()
    if tokens:
        raise ValueError(expression)
    return result


def check(metadata):
    """What is wrong with the packages that the root needs to run, as lines; and how many packages there are."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    seen, todo = set(), [metadata["resolve"]["root"]]
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        for dependency in nodes[one]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    wrong, names = [], {}
    for package in (packages[one] for one in seen):
        name = f"{package['name']} {package['version']}"
        if package["name"] in names:
            wrong.append(f"{name}: there is {names[package['name']]} too")
        names[package["name"]] = package["version"]
        if not allowed(package["license"] or ""):
            wrong.append(f"{name}: its licence is {package['license'] or 'not told'}")
        source = package["source"]
        if package["id"] != metadata["resolve"]["root"] and source != "registry+https://github.com/rust-lang/crates.io-index":
            wrong.append(f"{name}: comes from {source or 'a directory'}")
    return wrong, len(seen)


def self_test():
    """The checks find what they are for."""
    for expression, expected in (
        ("MIT", True),
        ("MIT/Apache-2.0", True),
        ("(MIT OR GPL-3.0) AND Zlib", True),
        ("MIT AND GPL-3.0", False),
        ("GPL-3.0 OR LGPL-3.0", False),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("Apache-2.0 WITH LLVM-exception OR MIT", True),
        ("", False),
    ):
        assert allowed(expression) == expected, expression
    good = {"source": "registry+https://github.com/rust-lang/crates.io-index", "license": "MIT"}
    packages = [
        {**good, "id": "root", "name": "root", "version": "1", "source": None},
        {**good, "id": "a1", "name": "a", "version": "1"},
        {**good, "id": "a2", "name": "a", "version": "2", "license": "GPL-3.0"},
        {**good, "id": "b", "name": "b", "version": "1", "source": "git+https://example.org/b"},
        {**good, "id": "test", "name": "test", "version": "1", "license": None},
    ]

    def node(name, *needs, kind=None):
        return {"id": name, "deps": [{"pkg": need, "dep_kinds": [{"kind": kind}]} for need in needs]}

    nodes = [node("root", "a1", "b"), node("a1"), node("b", "a2"), node("a2", "test", kind="dev"), node("test")]
    wrong, count = check({"packages": packages, "resolve": {"root": "root", "nodes": nodes}})
    assert count == 4 and len(wrong) == 3, wrong


def main():
    self_test()
    cargo = sys.argv[1] if len(sys.argv) > 1 else "cargo"
    bad, most = set(), 0
    for target in TARGETS:
        command = [cargo, "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
        wrong, count = check(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        bad.update(wrong)
        most = max(most, count)
    for line in sorted(bad):
        print(line)
    print(f"{most} packages, {len(bad)} findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
