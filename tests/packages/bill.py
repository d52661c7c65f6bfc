"""Reads a bill of materials from standard input and holds it against the schema of CycloneDX."""

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

if error := JsonStrictValidator(SchemaVersion.V1_5).validate_str(sys.stdin.read()):
    sys.exit(str(error))
