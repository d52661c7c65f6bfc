// Checks JSON files of dashboards against the types of @grafana/schema: `node check.mjs MODULES FILE...`.
//
// MODULES is the folder with node_modules that scripts/npm makes. Each file becomes a TypeScript constant of the type
// in board.ts, once for each version of the package, so that the compiler also reports unknown properties.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';

// The types of package.json: of the oldest Grafana, and of a current one.
const SCHEMAS = ['@grafana/schema', 'schema-current'];
const [modules, ...files] = process.argv.slice(2).map((argument) => resolve(argument));
const ts = createRequire(join(modules, 'package.json'))('typescript');

const sources = new Map();
for (const schema of SCHEMAS) {
    const folder = join(modules, schema.replace('/', '-'));
    const type = readFileSync(new URL('board.ts', import.meta.url), 'utf8').replaceAll('SCHEMA', schema);
    sources.set(join(folder, 'board.ts'), type);
    for (const file of files) {
        const json = readFileSync(file, 'utf8');
        const constant = `import type { Board } from './board';\nexport const board: Board = ${json};\n`;
        sources.set(join(folder, `${basename(file, '.json')}.ts`), constant);
    }
}

const options = {
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    noEmit: true,
    skipLibCheck: true,
    strict: true,
    target: ts.ScriptTarget.ES2022,
    types: [],
};
const host = ts.createCompilerHost(options);
const { fileExists, readFile } = host;
host.fileExists = (path) => sources.has(path) || fileExists(path);
host.directoryExists = () => true;
host.readFile = (path) => sources.get(path) ?? readFile(path);
const found = ts.getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options, host));
const format = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => modules, getNewLine: () => '\n' };
if (found.length > 0) {
    process.stderr.write(ts.formatDiagnostics(found, format));
    process.exit(1);
}
