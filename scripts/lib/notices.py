#!/usr/bin/env python3
"""notices.py - lists what the binaries are made of: license texts and an SBOM.

  scripts/lib/notices.py text [--tls]   the third-party notices that go with a binary
  scripts/lib/notices.py sbom [--tls]   a CycloneDX 1.5 bill of materials, as JSON

  --tls   for a binary that was built with the feature tls

Both cover the crates that are linked into a binary for any target in
scripts/lib/deny.toml, the Rust standard library and the C library. Crates that only
build or test are left out. The same sources make the same bytes: the SBOM carries
the time SOURCE_DATE_EPOCH, or that of the last commit.

Environment: CARGO (default cargo), RUSTC (default rustc), SOURCE_DATE_EPOCH.

Exit status: 0 printed, 1 something is missing, 2 bad usage.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import uuid
from datetime import datetime, timezone
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
LIB = REPO / "scripts/lib"
# Parts that no crate's license file covers: their notices are kept beside this script.
FIXED = [("The Rust standard library", "rust.txt"), ("musl, the C library", "musl.txt")]
LICENSE_FILE = re.compile(r"^(UN)?LICEN[CS]E|^COPYING|^COPYRIGHT|^NOTICE", re.IGNORECASE)
ALWAYS = re.compile(r"NOTICE|THIRD-PARTY", re.IGNORECASE)


def die(status: int, message: str) -> None:
    print(f"notices.py: error: {message}", file=sys.stderr)
    sys.exit(status)


def run(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        die(1, f"{command[0]} is not in PATH")
    if done.returncode != 0:
        reason = [line for line in done.stderr.splitlines() if line.startswith("error")] or done.stderr.splitlines() or ["no message"]
        die(1, f"{' '.join(command[:2])} failed: {reason[0]}")
    return done.stdout


def crates(tls: bool) -> tuple[dict, list[dict], dict[str, list[str]]]:
    """Returns our own package, the crates linked into it, and each package's dependencies, by id."""
    targets = re.findall(r'"([a-z0-9_]+-unknown-linux-[a-z]+)"', (LIB / "deny.toml").read_text())
    if not targets:
        die(1, "scripts/lib/deny.toml lists no target")
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--locked", "--format-version=1"]
    command += [f"--filter-platform={target}" for target in targets]
    metadata = json.loads(run(*command, *(["--features=tls"] if tls else [])))
    packages = {package["id"]: package for package in metadata["packages"]}
    links = {}
    for node in metadata["resolve"]["nodes"]:
        links[node["id"]] = sorted(
            dep["pkg"]
            for dep in node["deps"]
            if any(kind["kind"] is None for kind in dep["dep_kinds"])
            # A procedural macro runs in the compiler; nothing of it is linked.
            and not any("proc-macro" in target["kind"] for target in packages[dep["pkg"]]["targets"])
        )
    root = metadata["resolve"]["root"]
    found, queue = {root}, [root]
    while queue:
        for dependency in links[queue.pop()]:
            if dependency not in found:
                found.add(dependency)
                queue.append(dependency)
    linked = sorted((packages[i] for i in found - {root}), key=lambda p: (p["name"], p["version"]))
    return packages[root], linked, {i: links[i] for i in found}


def license_files(package: dict) -> list[Path]:
    """Returns the files whose text has to go with the binary: MIT's where we may choose it, else all."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(f for f in folder.iterdir() if f.is_file() and LICENSE_FILE.search(f.name))
    choices = re.split(r"\s+OR\s+|/", package["license"] or "")
    if "MIT" in choices and len(choices) > 1:
        mit = [f for f in files if "MIT" in f.name.upper()]
        if mit:
            files = mit + [f for f in files if ALWAYS.search(f.name)]
    return files


def text(tls: bool) -> None:
    own, linked, _ = crates(tls)
    groups: dict[str, tuple[str, list[str]]] = {}
    for package in linked:
        files = license_files(package)
        if not files:
            die(1, f"{package['name']} {package['version']} ({package['license']}) has no license file in {Path(package['manifest_path']).parent}")
        for file in files:
            content = file.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip("\n")
            key = " ".join(content.split())
            name = f"{package['name']} {package['version']} ({package['license']})"
            names = groups.setdefault(key, (content, []))[1]
            if name not in names:
                names.append(name)
    rule = "=" * 78
    print(f"Third-party notices for pi-monitor{' with TLS' if tls else ''}")
    print()
    print(textwrap.fill(
        "pi-monitor is one static program. Besides its own code (see LICENSE) it contains the parts below, each under the terms printed with it. "
        "Where a part offers several licenses, pi-monitor uses it under MIT.", 78))
    for content, names in sorted(groups.values(), key=lambda g: g[1]):
        print(f"\n{rule}\n" + "\n".join(names) + f"\n{rule}\n\n{content}")
    for title, file in FIXED:
        print(f"\n{rule}\n{title}\n{rule}\n\n{(LIB / 'notices' / file).read_text().strip()}")


def timestamp() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct").strip()
    if not epoch.isdigit():
        die(2, f"SOURCE_DATE_EPOCH={epoch}: expected seconds since 1970")
    return datetime.fromtimestamp(int(epoch), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def sbom(tls: bool) -> None:
    own, linked, links = crates(tls)
    lock = (REPO / "Cargo.lock").read_text()
    sums = {(n, v): c for n, v, c in re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = [^\n]+\nchecksum = "([0-9a-f]{64})"', lock)}
    rust = run(os.environ.get("RUSTC", "rustc"), "--version").split()[1]

    def purl(package: dict) -> str:
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(package: dict, kind: str) -> dict:
        entry = {"type": kind, "bom-ref": purl(package), "name": package["name"], "version": package["version"], "scope": "required"}
        if package["description"]:
            entry["description"] = " ".join(package["description"].split())
        checksum = sums.get((package["name"], package["version"]))
        if checksum:
            entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if package["license"]:
            entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        entry["purl"] = purl(package)
        if package["repository"]:
            entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        return entry

    names = {package["id"]: purl(package) for package in [own, *linked]}
    runtime = [
        {"type": "library", "bom-ref": "rust-std", "name": "rust-std", "version": rust, "scope": "required",
         "description": "The Rust standard library", "licenses": [{"expression": "MIT OR Apache-2.0"}]},
        {"type": "library", "bom-ref": "musl", "name": "musl", "scope": "required",
         "description": "The C library", "licenses": [{"expression": "MIT"}]},
    ]
    edges = {names[i]: sorted(names[d] for d in dependencies) for i, dependencies in links.items()}
    edges[purl(own)] = sorted([*edges[purl(own)], "rust-std"])
    edges.update({"rust-std": ["musl"], "musl": []})
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(),
            "tools": {"components": [{"type": "application", "name": "scripts/lib/notices.py"}]},
            "component": component(own, "application"),
            "properties": [{"name": "pi-monitor:features", "value": "tls" if tls else "default"}],
        },
        "components": [component(package, "library") for package in linked] + runtime,
        "dependencies": [{"ref": ref, "dependsOn": edges[ref]} for ref in sorted(edges)],
    }
    # A serial number of the content, so that the same sources have the same one.
    document["serialNumber"] = "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True)))
    print(json.dumps(document, indent=2, ensure_ascii=False))


def main() -> None:
    arguments = sys.argv[1:]
    if arguments in (["-h"], ["--help"]):
        print(__doc__.strip())
        return
    tls = "--tls" in arguments
    action = [a for a in arguments if a != "--tls"]
    if action == ["text"]:
        text(tls)
    elif action == ["sbom"]:
        sbom(tls)
    else:
        die(2, f"expected text or sbom, optionally with --tls; found: {' '.join(arguments) or 'nothing'} (see --help)")


if __name__ == "__main__":
    main()
