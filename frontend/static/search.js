// Search without a page: the grammar and the matching of chalicelib/catalogue/searching. Both sides run
// the vectors in tests/catalogue/search_vectors.json. search-page.js shows what is found.

const MAX_QUERY = 400;
const MAX_TERMS = 20;
const FIELDS = ["project", "model", "tag", "label", "alias", "format", "by", "verdict", "param", "kind"];
const CHOICES = new Map([
  ["kind", ["model", "version"]],
  ["verdict", ["safe", "unknown", "unsafe", "pending"]],
]);
const OPERATORS = [">=", "<=", "!=", "==", ">", "<", "="];
const BLANKS = " \t\n\r\f\v\u00a0\u3000";
const NUMBER = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const NON_FINITE = { NaN, Infinity, "-Infinity": -Infinity };
const ASCII = /^[\x00-\x7f]*$/;

export function fold(text) {
  const lower = text.toLowerCase();
  return ASCII.test(lower) ? lower : lower.normalize("NFC").replaceAll("\u03c2", "\u03c3");
}

export function fits(pattern, text) {
  if (!pattern.includes("*")) return pattern === text;
  const inner = pattern.split("*");
  const first = inner.shift();
  const last = inner.pop();
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const piece of inner) {
    at = text.indexOf(piece, at);
    if (at < 0 || at + piece.length > end) return false;
    at += piece.length;
  }
  return true;
}

class NotUnderstood extends Error {}

class Reader {
  constructor(source) {
    this.source = source;
    this.at = 0;
  }

  terms() {
    if (Array.from(this.source).length > MAX_QUERY) {
      throw new NotUnderstood(`A search holds ${MAX_QUERY} characters at most.`);
    }
    const found = [];
    this.blanks();
    while (this.at < this.source.length) {
      const term = this.term();
      if (term.text || term.kind !== "text") found.push(term);
      if (found.length > MAX_TERMS) throw new NotUnderstood(`A search holds ${MAX_TERMS} conditions at most.`);
      this.blanks();
    }
    return found;
  }

  term() {
    const negated = this.here() === "-" && !ends(this.here(1));
    if (negated) this.at += 1;
    const missing = this.operator();
    if (missing) {
      throw new NotUnderstood(`Before ${missing} the name of a metric or param is missing, as in accuracy > 0.9.`);
    }
    const quoted = this.here() === '"';
    let name = quoted ? this.quoted() : this.until((c) => c === ":" || c === '"' || BLANKS.includes(c) || this.operator());
    // Without a name it begins with a colon: a word like any other.
    if (!quoted && !name) name = this.until((c) => BLANKS.includes(c));
    else if (!quoted && this.here() === ":") return this.field(name, negated);
    const after = this.at;
    this.blanks();
    const operator = this.operator();
    if (operator && name) return this.comparison(name, operator, negated);
    this.at = after;
    return { kind: "text", text: fold(name), negated };
  }

  field(name, negated) {
    this.at += 1;
    const field = fold(name);
    if (!FIELDS.includes(field)) {
      throw new NotUnderstood(
        `There is no field ${told(name)}. Fields are ${FIELDS.join(", ")}; put the text in quotes to search for it as it is.`);
    }
    let value = "";
    while (!ends(this.here())) {
      value += this.here() === '"' ? this.quoted() : this.until((c) => c === '"' || BLANKS.includes(c));
    }
    if (!value) throw new NotUnderstood(`After ${field}: a value is missing.`);
    const text = fold(value);
    const choices = CHOICES.get(field);
    if (choices && !text.includes("*") && !choices.includes(text)) {
      throw new NotUnderstood(`${field}: is one of ${choices.join(", ")}, not ${told(value)}.`);
    }
    return { kind: "field", name: field, text, negated };
  }

  comparison(name, operator, negated) {
    this.at += operator.length;
    this.blanks();
    const text = this.until((c) => c === '"' || BLANKS.includes(c));
    if (!NUMBER.test(text)) {
      const said = text ? `${told(text)} is none` : "it is missing";
      throw new NotUnderstood(
        `After ${told(name)} ${operator} comes a number; ${said}. Text of a param is found with param:NAME=TEXT.`);
    }
    return { kind: "number", name: fold(name), operator: operator === "==" ? "=" : operator, value: Number(text), negated };
  }

  here(ahead = 0) {
    return this.source.charAt(this.at + ahead);
  }

  blanks() {
    while (this.here() && BLANKS.includes(this.here())) this.at += 1;
  }

  operator() {
    return OPERATORS.find((one) => this.source.startsWith(one, this.at)) ?? "";
  }

  until(stop) {
    const start = this.at;
    while (this.at < this.source.length && !stop(this.here())) this.at += 1;
    return this.source.slice(start, this.at);
  }

  quoted() {
    const close = this.source.indexOf('"', this.at + 1);
    const end = close < 0 ? this.source.length : close;
    const text = this.source.slice(this.at + 1, end);
    this.at = end + 1;
    return text;
  }
}

function ends(char) {
  return char === "" || BLANKS.includes(char);
}

function told(text) {
  const chars = Array.from(text);
  return chars.length <= 40 ? text : `${chars.slice(0, 39).join("")}\u2026`;
}

export function parse(text) {
  try {
    return { terms: new Reader(text).terms(), problem: "" };
  } catch (problem) {
    if (!(problem instanceof NotUnderstood)) throw problem;
    return { terms: [], problem: problem.message };
  }
}

// Index documents → entries

function pairs(values = {}) {
  return Object.entries(values).map(([name, value]) => [fold(name), fold(value)]);
}

function numbers(metrics = {}, params = {}) {
  const found = new Map();
  const add = (name, value) => {
    const key = fold(name);
    if (found.has(key)) found.get(key).push(value);
    else found.set(key, [value]);
  };
  for (const [name, value] of Object.entries(metrics)) {
    add(name, typeof value === "string" ? NON_FINITE[value] ?? NaN : value);
  }
  for (const [name, text] of Object.entries(params)) if (NUMBER.test(text)) add(name, Number(text));
  return found;
}

function joined(parts) {
  return fold(parts.filter(Boolean).join("\n"));
}

function assigned(values = {}) {
  return Object.entries(values).map(([name, value]) => `${name}=${value}`);
}

export function modelEntries(document) {
  return document.models.map((shown) => {
    const aliases = Object.keys(shown.aliases ?? {});
    const name = fold(shown.name);
    return {
      path: shown.path, number: 0, shown, project: fold(document.project), owner: document.project, name, title: name,
      text: joined([`${document.project}/${shown.name}`, shown.description, shown.card, ...assigned(shown.tags), ...aliases]),
      tags: pairs(shown.tags), params: [], label: "", by: "", verdict: "", model: null,
      aliases: aliases.map(fold), formats: (shown.formats ?? []).map(fold),
      numbers: shown.value === undefined ? new Map() : numbers({ [shown.metric]: shown.value }),
    };
  });
}

export function versionEntries(document, model) {
  return document.versions.map((shown) => {
    const aliases = shown.aliases ?? [];
    return {
      path: `${model.path}${shown.number}/`, number: shown.number, shown, project: model.project, owner: model.owner,
      name: model.name, title: `${model.name}@${shown.number}`,
      text: joined([shown.label, shown.description, ...assigned(shown.tags), ...assigned(shown.params), ...aliases]),
      tags: pairs(shown.tags), params: pairs(shown.params), label: fold(shown.label ?? ""), by: fold(shown.by ?? ""),
      verdict: shown.verdict ?? "", model, aliases: aliases.map(fold), formats: (shown.formats ?? []).map(fold),
      numbers: numbers(shown.metrics, shown.params),
    };
  });
}

// One condition

function pairFits(text, held) {
  const at = text.indexOf("=");
  if (at < 0) return held.some(([key, value]) => fits(text, key) || fits(text, value));
  const [name, wanted] = [text.slice(0, at), text.slice(at + 1)];
  return held.some(([key, value]) => fits(name, key) && fits(wanted, value));
}

function fieldMet(term, entry) {
  switch (term.name) {
    case "project": return !entry.model && fits(term.text, entry.project);
    case "model": return !entry.model && fits(term.text, entry.name);
    case "tag": return pairFits(term.text, entry.tags);
    case "param": return pairFits(term.text, entry.params);
    case "label": return entry.label !== "" && fits(term.text, entry.label);
    case "by": return entry.by !== "" && fits(term.text, entry.by);
    case "verdict": return entry.verdict !== "" && fits(term.text, entry.verdict);
    case "alias": return entry.aliases.some((name) => fits(term.text, name));
    case "format": return entry.formats.some((name) => fits(term.text, name));
    default: return fits(term.text, entry.model ? "version" : "model");
  }
}

function compared(term, value) {
  switch (term.operator) {
    case ">": return value > term.value;
    case ">=": return value >= term.value;
    case "<": return value < term.value;
    case "<=": return value <= term.value;
    case "=": return value === term.value;
    default: return value !== term.value;
  }
}

function own(term, entry) {
  if (term.kind === "text") return entry.text.includes(term.text);
  if (term.kind === "number") return (entry.numbers.get(term.name) ?? []).some((value) => compared(term, value));
  return fieldMet(term, entry);
}

function ofModel(term, model) {
  if (term.kind === "field" && ["project", "model", "tag"].includes(term.name)) return fieldMet(term, model);
  return term.kind === "text" && model.text.includes(term.text);
}

function met(terms, entry, inherited) {
  let itself = !entry.model;
  for (let at = 0; at < terms.length; at += 1) {
    const term = terms[at];
    const held = own(term, entry);
    if ((held || inherited[at]) === term.negated) return false;
    itself = itself || (held && !term.negated);
  }
  return itself && terms.length > 0;
}

function score(terms, entry) {
  let total = 0;
  for (const { kind, text, negated } of terms) {
    if (kind !== "text" || negated || entry.title === text) continue;
    total += 3 - 2 * entry.title.startsWith(text) - entry.title.includes(text);
  }
  return total;
}

function before(a, b) {
  return a.version - b.version || a.score - b.score
    || (a.path < b.path ? -1 : Number(a.path > b.path)) || b.entry.number - a.entry.number;
}

// Most keys of a query match much: only the best are kept in order, the others are counted.
export function search(terms, entries, most) {
  const best = [];
  let total = 0;
  let [model, inherited] = [undefined, []];
  for (const entry of entries) {
    if (entry.model !== model) {
      model = entry.model;
      inherited = terms.map((term) => model !== null && ofModel(term, model));
    }
    if (!met(terms, entry, inherited)) continue;
    total += 1;
    const hit = { entry, version: Number(model !== null), score: score(terms, entry), path: (model ?? entry).path };
    if (best.length >= most && before(hit, best[best.length - 1]) >= 0) continue;
    let [low, high] = [0, best.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(best[middle], hit) <= 0) low = middle + 1;
      else high = middle;
    }
    best.splice(low, 0, hit);
    if (best.length > most) best.pop();
  }
  return { entries: best.map((hit) => hit.entry), total };
}
