"""What the locked dependencies are: hashes, licences, known vulnerabilities. Run by `make audit`.

Ends with 1 where a lock file lacks a hash, what is installed is not what is locked, a package has no licence or one
that does not go with ours, or a vulnerability is known. Vulnerabilities are asked of PyPI by pip-audit, which is
installed into a scratch environment; where the network does not allow that, a sentence says so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import venv
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
# Copyleft that would reach a program that imports the package; the weaker kinds are fine.
REACHING = re.compile(r"\b(AGPL|GPL|GNU (Affero )?General Public)", re.IGNORECASE)
WEAK = re.compile(r"LGPL|Lesser|MPL|exception", re.IGNORECASE)
# What the text of a licence says of itself, for packages whose metadata is silent and which carry the text alone.
TEXTS = {
    "Apache-2.0": re.compile(r"Apache License,?\s+Version 2\.0"),
    "MIT": re.compile(r"Permission is hereby granted, free of charge"),
    "BSD": re.compile(r"Redistribution and use in source and binary forms"),
}
NETWORK_S = 300


def locked(lock: Path) -> dict[str, dict[str, int]]:
    """Read the versions of each package, which differ by system and Python, and count the hashes of each."""
    packages: dict[str, dict[str, int]] = {}
    name = version = ""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^ \\;]+)", line):
            name, version = canonical(match[1]), match[2]
            packages.setdefault(name, {})[version] = 0
        elif "--hash=sha256:" in line:
            packages[name][version] += 1
    return packages


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(package: metadata.Distribution) -> str:
    """Find what a package says of its licence; the expression, else classifiers, else the text that it carries."""
    about = package.metadata
    if expression := about.get("License-Expression"):
        return expression
    classified = [
        line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or () if line.startswith("License")
    ]
    text = (about.get("License") or "").strip().splitlines()
    return ", ".join(classified) or (text[0] if text else "") or ", ".join(recognized(package))


def recognized(package: metadata.Distribution) -> list[str]:
    """Name the licences whose texts a package carries in the files that its metadata calls so."""
    names = package.metadata.get_all("License-File") or ()
    files = [file for file in package.files or () if str(file).endswith(tuple(names))] if names else []
    texts = [file.read_text(encoding="utf-8") for file in files]
    return [f"{name} (by its text)" for name, pattern in TEXTS.items() if any(map(pattern.search, texts))]


def check_locks() -> list[str]:
    """Hold the lock files against themselves and against what is installed."""
    faults = []
    for lock in LOCKS:
        packages = locked(ROOT / lock)
        hashes = sum(count for versions in packages.values() for count in versions.values())
        print(f"{lock}: {len(packages)} packages with {hashes} hashes")
        faults += [f"{lock}: {name} has no hash" for name, versions in packages.items() if not all(versions.values())]
    for name, versions in locked(ROOT / LOCKS[-1]).items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # For another system or another Python.
        if installed not in versions:
            faults.append(f"{name}: {' or '.join(versions)} is locked, {installed} is installed")
    return faults


def check_licences() -> list[str]:
    """Print every licence, most frequent first, and name what does not go with ours."""
    by_licence: dict[str, list[str]] = {}
    for name in locked(ROOT / LOCKS[0]):
        try:
            licence = licence_of(metadata.distribution(name))
        except metadata.PackageNotFoundError:
            continue
        by_licence.setdefault(licence or "none stated", []).append(name)
    faults = []
    for licence, names in sorted(by_licence.items(), key=lambda item: -len(item[1])):
        print(f"{licence}: {', '.join(sorted(names))}")
        if licence == "none stated" or (REACHING.search(licence) and not WEAK.search(licence)):
            faults.append(f"licence {licence}: {', '.join(names)}")
    return faults


def check_vulnerabilities() -> list[str]:
    """Ask for known vulnerabilities of exactly what is locked."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pip-audit"]
        audit = [python, "-m", "pip_audit", "--format", "json", "--disable-pip", "--require-hashes"]
        try:
            subprocess.run(pip, check=True, capture_output=True, timeout=NETWORK_S)
            done = subprocess.run(
                [*audit, "-r", ROOT / LOCKS[0]], capture_output=True, text=True, timeout=NETWORK_S, check=False
            )
            found = json.loads(done.stdout)["dependencies"]
        except (subprocess.SubprocessError, ValueError, KeyError):
            print("known vulnerabilities: not asked, the network does not reach PyPI's advisory service from here")
            return []
    faults = [
        f"{package['name']} {package['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'none'}"
        for package in found
        for fault in package.get("vulns", ())
    ]
    print(f"known vulnerabilities: {len(faults)} in {len(found)} packages")
    return faults


def main() -> None:
    faults = [*check_locks(), *check_licences(), *check_vulnerabilities()]
    for fault in faults:
        print(f"fault: {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
