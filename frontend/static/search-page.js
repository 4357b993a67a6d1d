// The search page: index documents are read once somebody types or asks for all, newest versions first; then
// every key is answered from memory. Until then, and without this file, the server's answer stands.

const root = document.getElementById("search");
// By addresses of the page's, so that they name the very versions that belong to this one.
const [{ fold, modelEntries, parse, search, versionEntries }, { element, figure, user, visible }] =
  await Promise.all([import(root.dataset.grammar), import(root.dataset.figures)]);

const FORMAT = 1;
const RANGE = 100;
const SHOWN = 50;
const SHOWN_METRICS = 4;
const DOCUMENTS = 1000;
const AT_ONCE = 6;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

class SignedOut extends Error {}

class Index {
  constructor(places, changed) {
    this.shards = places.flatMap(([folder, letters]) => Array.from(letters, (letter) => `${folder}models-${letter}.json`));
    this.changed = changed;
    this.entries = [];
    this.read = this.failed = this.leftOut = 0;
    this.parts = this.shards.length;
    this.done = this.signedOut = false;
  }

  async load() {
    const models = [];
    await this.all(this.shards, async (path) => {
      const document = await this.fetched(path);
      if (document) models.push(...modelEntries(document));
    });
    this.entries = models;
    const ranges = [];
    for (const model of models) {
      const highest = model.shown.highest ?? 0;
      for (let first = 1; first <= highest; first += RANGE) ranges.push({ model, first, behind: highest - first });
    }
    ranges.sort((a, b) => a.behind - b.behind);
    this.leftOut = Math.max(0, ranges.length - DOCUMENTS);
    const chosen = ranges.slice(0, DOCUMENTS);
    this.parts += chosen.length;
    await this.all(chosen, async ({ model, first }) => {
      const document = await this.fetched(`${model.path}versions/${first}-${first + RANGE - 1}/search.json`);
      if (document) for (const entry of versionEntries(document, model)) this.entries.push(entry);
    });
    this.done = true;
    this.changed();
  }

  async fetched(path) {
    const answer = await fetch(path);
    if (answer.redirected || answer.status === 401) throw new SignedOut();
    // Deleted since its model was read.
    if (answer.status === 404) return null;
    if (!answer.ok) throw new Error(String(answer.status));
    const document = await answer.json();
    if (document.format !== FORMAT) throw new Error("another format");
    return document;
  }

  async all(items, work) {
    let next = 0;
    const worker = async () => {
      while (next < items.length && !this.signedOut) {
        try {
          await work(items[next++]);
        } catch (error) {
          if (error instanceof SignedOut) this.signedOut = true;
          else this.failed += 1;
        }
        this.read += 1;
        this.changed();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }
}

function day(text) {
  const found = new Date(text);
  const shown = Number.isNaN(found.getTime()) ? text
    : `${found.getUTCDate()} ${MONTHS[found.getUTCMonth()]} ${found.getUTCFullYear()}`;
  const made = element("time", "", shown);
  made.dateTime = made.title = text;
  return made;
}

function metricsOf({ shown, model }, terms) {
  if (!model) return shown.value === undefined ? [] : [[shown.metric, shown.value]];
  const wanted = new Set(terms.filter((term) => term.kind === "number").map((term) => term.name));
  const asked = ([name]) => wanted.has(fold(name));
  const metrics = Object.entries(shown.metrics ?? {});
  const params = Object.entries(shown.params ?? {}).filter(asked);
  return [...params, ...metrics.filter(asked), ...metrics.filter((pair) => !asked(pair))].slice(0, SHOWN_METRICS);
}

function row(entry, terms) {
  const { shown, model, number } = entry;
  const link = element("a", "", user((model ?? entry).shown.name, 120));
  if (number) link.append(element("span", "num", `@${number}`));
  link.href = entry.path.startsWith("/p/") ? entry.path : "/";
  const line = element("li", "hit", link);
  if (shown.label) line.append(" ", element("span", "label", user(shown.label, 60)));
  const aliases = Array.isArray(shown.aliases) ? shown.aliases : Object.keys(shown.aliases ?? {});
  for (const name of aliases.slice(0, 6)) line.append(" ", element("span", "chip alias", user(name, 40)));
  if (["unsafe", "unknown"].includes(shown.verdict)) {
    const chip = element("span", shown.verdict === "unsafe" ? "chip bad" : "chip wait", shown.verdict);
    chip.title = `Loading it ${shown.verdict === "unsafe" ? "can" : "may"} execute code of its author`;
    line.append(" ", chip);
  }
  const facts = element("p", "meta", element("span", "", model ? "version in " : "model in ", user(entry.owner, 60)));
  for (const [name, value] of metricsOf(entry, terms)) {
    facts.append(element("span", "", user(name, 40), " ", element("b", "", figure(value))));
  }
  if (shown.formats?.length) facts.append(element("span", "", user(shown.formats.join(", "), 80)));
  if (shown.by) facts.append(element("span", "", "by ", user(shown.by, 32)));
  if (shown.published) facts.append(element("span", "", day(shown.published)));
  line.append(facts);
  if (shown.description) line.append(element("p", "about", user(shown.description, 180)));
  return line;
}

function plural(amount, word) {
  return `${amount.toLocaleString("en-US")} ${word}${amount === 1 ? "" : "s"}`;
}

function start() {
  const box = document.querySelector("input[name=q]");
  const [said, list] = [document.getElementById("said"), document.getElementById("hits")];
  let answered = false;
  let [later, address] = [0, 0];

  const answer = () => {
    const { terms, problem } = parse(box.value);
    answered = true;
    said.classList.toggle("bad", problem !== "");
    if (problem) {
      said.replaceChildren(element("bdi", "", visible(problem)));
      return;
    }
    const found = search(terms, index.entries, SHOWN);
    list.replaceChildren(...found.entries.map((entry) => row(entry, terms)));
    const shown = found.total > SHOWN ? `, the first ${SHOWN} shown` : "";
    const words = terms.length === 0 ? [] : [found.total ? `${plural(found.total, "result")}${shown}.` : "Nothing found."];
    if (!index.done) words.push(`Reading the index: ${index.read} of ${plural(index.parts, "part")}.`);
    if (index.failed) words.push(`${plural(index.failed, "part")} of the index could not be read: reload to try again.`);
    if (index.leftOut) words.push(`${plural(index.leftOut, "part")} with the oldest versions left out.`);
    said.textContent = words.join(" ");
    if (index.signedOut) {
      const link = element("a", "", "Sign in again");
      link.href = `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
      said.append(" Your session is over. ", link, ".");
    }
  };

  const index = new Index(JSON.parse(root.dataset.places), () => {
    // What the server found stays until all is read, unless somebody types meanwhile.
    if (index.done) {
      root.querySelectorAll(".left-out").forEach((hint) => hint.remove());
      answer();
      root.setAttribute("aria-busy", "false");
    } else if (answered && !later) later = setTimeout(() => { later = 0; if (!index.done) answer(); }, 200);
  });

  // The index may be megabytes: whoever came for what the server found does not wait for it.
  let begun = false;
  const begin = () => {
    if (begun || !index.shards.length) return;
    begun = true;
    root.setAttribute("aria-busy", "true");
    index.load();
  };

  box.addEventListener("input", () => {
    begin();
    answer();
    clearTimeout(address);
    address = setTimeout(() => {
      const query = box.value ? `?${new URLSearchParams({ q: box.value })}` : "";
      history.replaceState(null, "", location.pathname + query);
    }, 300);
  });
  box.form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (begun || !index.shards.length) answer();
    list.querySelector("a")?.focus();
  });
  root.parentElement.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const stops = [box, ...list.querySelectorAll(".hit > a")];
    const at = stops.indexOf(document.activeElement);
    if (event.key === "Escape" && at > 0) box.focus();
    if (!step || at < 0 || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    stops[Math.min(Math.max(at + step, 0), stops.length - 1)].focus();
  });
  // A site of files has one search page, whatever was asked.
  const answeredHere = box.value !== "";
  if (!answeredHere) box.value = new URLSearchParams(location.search).get("q") ?? "";
  if (!box.value) box.focus();
  root.setAttribute("aria-busy", "false");
  if (box.value && !answeredHere) begin();
  root.querySelector(".left-out a")?.addEventListener("click", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || !index.shards.length) return;
    event.preventDefault();
    begin();
    event.target.parentElement.textContent = "Reading the index …";
    said.tabIndex = -1;
    said.focus();
  });
}

start();
