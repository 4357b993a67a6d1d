// Reads a list of queries from standard input; prints how search.js reads each and what it finds
// among the documents of the vectors.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [, , source, vectors, most] = process.argv;
const { modelEntries, parse, search, versionEntries } = await import(pathToFileURL(source));
const { documents } = JSON.parse(readFileSync(vectors, 'utf8'));

const models = documents.models.flatMap(modelEntries);
const byPath = new Map(models.map((model) => [model.path, model]));
const entries = [...models];
for (const document of documents.versions) entries.push(...versionEntries(document, byPath.get(document.model)));

function plain(term) {
  const sign = term.negated ? '-' : '';
  if (term.kind === 'number') return [sign + term.operator, term.name, Number.isFinite(term.value) ? term.value : String(term.value)];
  return [sign + (term.kind === 'field' ? term.name : 'text'), term.text];
}

const answers = JSON.parse(readFileSync(0, 'utf8')).map((query) => {
  const { terms, problem } = parse(query);
  const found = search(terms, entries, Number(most));
  return { problem, terms: terms.map(plain), found: found.entries.map((entry) => entry.path), total: found.total };
});
console.log(JSON.stringify(answers));
