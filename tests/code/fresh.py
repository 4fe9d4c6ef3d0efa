"""Run in a fresh interpreter: builds the package documents of standard input's JSON and prints what each workflow returns."""
import asyncio
import json
import sys

from aionlab.code.build import build
from aionlab.code.package import Package, version_of

found = {}
for label, document in json.load(sys.stdin).items():
    package = Package.from_document(document.encode())
    assert version_of(package) == package.version, label
    built = build(package)
    found[label] = repr(asyncio.run(built.function()))
    built.close()
print(json.dumps(found))
