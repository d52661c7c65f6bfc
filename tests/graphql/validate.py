"""Validates GraphQL documents against a schema with graphql-core.

usage: validate.py SCHEMA < DOCUMENTS

DOCUMENTS is a JSON object of texts by name. Prints a JSON object with the errors of each document.
"""

import json
import sys

from graphql import GraphQLError, build_ast_schema, parse, validate


def errors(schema, document):
    try:
        return [error.message for error in validate(schema, parse(document))]
    except GraphQLError as error:
        return [error.message]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = build_ast_schema(parse(file.read()))
    documents = json.load(sys.stdin)
    json.dump({name: errors(schema, document) for name, document in documents.items()}, sys.stdout)


main()
