// Which metrics and params a table of versions or checkpoints shows: chosen from a list, kept in the
// address (`?column=m:loss&column=p:lr`) so that it can be sent, and remembered per model. The page has
// the cells of a few columns; all others are made from the document beside it, once they are asked for.
// Without this file the page shows those few.

const ADDRESS = "column";
const MANY = 12;
const LONGEST = 80;

// Whole numbers beyond 2^53 (seeds) keep their digits where the browser tells how they were written.
function exactly(_key, value, context) {
  const whole = typeof value === "number" && !Number.isSafeInteger(value) && /^-?[0-9]+$/.test(context?.source ?? "");
  return whole ? BigInt(context.source) : value;
}

function written(value) {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const pairs = Object.keys(value).sort().map((key) => `${JSON.stringify(key)}: ${written(value[key])}`);
  return `{${pairs.join(", ")}}`;
}

const exact = (value) => (typeof value === "string" ? value : written(value));

function remembered(key) {
  try {
    const found = JSON.parse(localStorage.getItem(key));
    return Array.isArray(found) ? found.map(String) : null;
  } catch {
    return null;
  }
}

function remember(key, chosen) {
  try {
    if (chosen) localStorage.setItem(key, JSON.stringify(chosen));
    else localStorage.removeItem(key);
  } catch {
    // the address has it all the same
  }
}

class Table {
  constructor(table) {
    this.table = table;
    this.heads = table.tHead.rows[0];
    this.end = this.heads.querySelector("[data-columns-end]");
    this.rows = Array.from(table.tBodies[0].rows, (row) => ({
      row, number: Number(row.querySelector("th").dataset.v), end: row.cells[this.end.cellIndex],
    }));
    this.columns = new Map();
    for (const head of this.heads.querySelectorAll("[data-column]")) {
      const cells = this.rows.map(({ row }) => row.cells[head.cellIndex]);
      this.columns.set(head.dataset.column, { id: head.dataset.column, head, cells });
    }
    this.standard = [...this.columns.keys()];
    this.shown = this.standard;
    this.total = this.standard.length + Number(table.dataset.more);
  }

  // Reads the document beside the page, once; every metric and param of a row is a column then.
  load() {
    this.reading ??= this.read().catch((error) => {
      this.reading = undefined;
      throw error;
    });
    return this.reading;
  }

  async read() {
    const [{ element, figure, flat, clipped, user }, answer] = await Promise.all([
      import(this.table.dataset.figures), fetch("index.json"),
    ]);
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const found = JSON.parse(await answer.text(), exactly);
    const settings = found.settings ?? found.model.settings;
    const byNumber = new Map(found[this.table.dataset.columns].map((item) => [item.number, item]));
    const items = this.rows.map(({ number }) => byNumber.get(number) ?? {});
    const named = (kind, of, first) => {
      const counts = new Map();
      for (const item of items) {
        for (const name of Object.keys(item[of] ?? {})) counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      return [...counts.keys()]
        .sort((a, b) => (a !== first) - (b !== first) || counts.get(b) - counts.get(a) || (a < b ? -1 : 1))
        .map((name) => this.columns.get(`${kind}:${name}`) ?? { id: `${kind}:${name}`, name });
    };
    const metrics = named("m", "metrics", settings.main_metric);
    const params = named("p", "params");
    for (const column of metrics) {
      if (!column.head) this.metric(column, items, settings.directions?.[column.name], { element, figure, user });
    }
    for (const column of params) {
      if (!column.head) this.param(column, items, { element, figure, flat, clipped, user });
    }
    const known = this.columns;
    this.columns = new Map([...metrics, ...params].map((column) => [column.id, column]));
    for (const [id, column] of known) if (!this.columns.has(id)) this.columns.set(id, column);
    this.total = this.columns.size;
  }

  head(column, className, kind, ...children) {
    const made = document.createElement("th");
    made.scope = "col";
    made.className = className;
    made.dataset.sort = kind;
    made.dataset.column = column.id;
    made.append(...children);
    sortable(this.table, made);
    return made;
  }

  metric(column, items, direction, { element, figure, user }) {
    const arrow = direction === "max" ? "↑" : "↓";
    const sign = element("span", "dir", arrow);
    sign.title = direction === "max" ? "larger is better" : "smaller is better";
    sign.setAttribute("aria-label", sign.title);
    column.head = this.head(column, "n", "number", user(column.name, 28), ...(direction ? [sign] : []));
    const values = items.map(({ metrics }) => metrics?.[column.name])
      .map((value) => (typeof value === "bigint" ? Number(value) : value));
    const finite = values.filter((value) => typeof value === "number");
    const top = direction === "max" ? Math.max(...finite) : Math.min(...finite);
    const ranked = direction && finite.some((value) => value !== top);
    column.cells = values.map((value) => {
      if (value === undefined) return this.none("n");
      const best = ranked && value === top;
      const made = element("td", best ? "n best" : "n", figure(value));
      made.dataset.v = String(value);
      if (best) made.append(element("span", "sr", " (best here)"));
      return made;
    });
  }

  param(column, items, { element, figure, flat, clipped, user }) {
    column.head = this.head(column, "param", "text", user(column.name, 28));
    column.cells = items.map((item) => {
      const value = item.params?.[column.name];
      if (value === undefined) return this.none("param");
      const fraction = typeof value === "number" && !Number.isInteger(value);
      const made = element("td", "param", fraction ? figure(value) : user(exact(value), 32));
      made.dataset.v = flat(clipped(exact(value), LONGEST));
      return made;
    });
  }

  none(className) {
    const made = document.createElement("td");
    made.className = `${className} none`;
    made.dataset.v = "";
    made.textContent = "–";
    return made;
  }

  // Shows those of `ids` that there are, in the order of the list; the rows stay as they are sorted.
  show(ids) {
    const wanted = new Set(ids);
    for (const { head, cells } of this.columns.values()) {
      head?.remove();
      for (const cell of cells) cell?.remove();
    }
    this.shown = [...this.columns.keys()].filter((id) => wanted.has(id));
    for (const id of this.shown) {
      const { head, cells } = this.columns.get(id);
      this.end.before(head);
      cells.forEach((cell, index) => this.rows[index].end.before(cell));
    }
  }

  get isStandard() {
    return this.shown.length === this.standard.length && this.standard.every((id) => this.shown.includes(id));
  }
}

class Chooser {
  constructor(table) {
    this.table = new Table(table);
    this.key = `columns ${table.dataset.remember}`;
    this.details = document.createElement("details");
    this.details.className = "columns";
    this.summary = document.createElement("summary");
    this.list = document.createElement("div");
    this.list.className = "choose panel";
    this.list.setAttribute("role", "group");
    this.list.setAttribute("aria-label", "Columns of metrics and params");
    this.details.append(this.summary, this.list);
    table.closest("form").querySelector(".bar").append(this.details);
    this.count();
    this.details.addEventListener("toggle", () => this.details.open && this.open());
    this.details.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.details.open) return;
      this.details.open = false;
      this.summary.focus();
    });
    document.addEventListener("click", (event) => {
      if (!this.details.contains(event.target)) this.details.open = false;
    });
  }

  count() {
    const { shown, total } = this.table;
    const of = Object.assign(document.createElement("span"), { className: "count", textContent: `${shown.length} of ${total}` });
    this.summary.replaceChildren("Columns ", of);
  }

  // What the address asks for comes before what was chosen here earlier.
  async start() {
    const asked = new URLSearchParams(location.search).getAll(ADDRESS);
    const chosen = asked.length ? asked : remembered(this.key);
    if (!chosen) return;
    const { table } = this;
    try {
      // What cannot be read is told in the list, when it is opened.
      if (chosen.some((id) => id && !table.columns.has(id))) await table.load();
    } catch {
      return;
    }
    const there = chosen.filter((id) => table.columns.has(id));
    if (!there.length && chosen.some(Boolean)) return;
    table.show(there);
    this.count();
  }

  async open() {
    if (this.list.childElementCount) return;
    const said = document.createElement("p");
    said.className = "hint";
    said.setAttribute("role", "status");
    said.textContent = "Reading the columns…";
    this.list.replaceChildren(said);
    try {
      await this.table.load();
    } catch {
      said.textContent = "The list of columns could not be read. Close and open it again; you may have to sign in anew.";
      this.details.addEventListener("toggle", () => this.list.replaceChildren(), { once: true });
      return;
    }
    this.fill();
    this.count();
  }

  fill() {
    const boxes = [];
    const groups = [["m", "Metrics"], ["p", "Params"]].map(([kind, title]) => {
      const found = [...this.table.columns.values()].filter(({ id }) => id.startsWith(`${kind}:`));
      const group = document.createElement("fieldset");
      group.append(Object.assign(document.createElement("legend"), { textContent: title }));
      for (const { id, head } of found) {
        const label = document.createElement("label");
        const box = Object.assign(document.createElement("input"), { type: "checkbox", value: id });
        label.append(box, (head.querySelector("bdi") ?? head).cloneNode(true));
        group.append(label);
        boxes.push(box);
      }
      return found.length ? group : "";
    });
    const tick = () => {
      for (const box of boxes) box.checked = this.table.shown.includes(box.value);
    };
    const choose = (ids) => {
      this.table.show(ids);
      tick();
      this.keep();
    };
    this.list.addEventListener("change", () => choose(boxes.filter((box) => box.checked).map((box) => box.value)));
    const buttons = document.createElement("div");
    buttons.className = "bar";
    for (const [title, ids] of [["All", () => [...this.table.columns.keys()]], ["None", () => []], ["Reset", () => this.table.standard]]) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: title });
      button.addEventListener("click", () => choose(ids()));
      buttons.append(button);
    }
    const find = boxes.length > MANY ? [this.finder(boxes)] : [];
    this.list.classList.toggle("many", boxes.length > MANY);
    this.list.replaceChildren(...find, buttons, ...groups);
    tick();
  }

  finder(boxes) {
    const input = Object.assign(document.createElement("input"), { type: "search", placeholder: "Find a column" });
    input.setAttribute("aria-label", "Find a column");
    input.addEventListener("input", () => {
      const text = input.value.toLocaleLowerCase();
      for (const box of boxes) box.parentElement.hidden = !box.value.slice(2).toLocaleLowerCase().includes(text);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
    return input;
  }

  keep() {
    const { shown, isStandard } = this.table;
    const address = new URL(location.href);
    address.searchParams.delete(ADDRESS);
    if (!isStandard) for (const id of shown.length ? shown : [""]) address.searchParams.append(ADDRESS, id);
    history.replaceState(history.state, "", address);
    remember(this.key, isStandard ? null : shown);
    this.count();
  }
}

for (const table of document.querySelectorAll("table[data-columns]")) {
  document.querySelectorAll(".left-out").forEach((hint) => { hint.hidden = true; });
  new Chooser(table).start();
}
