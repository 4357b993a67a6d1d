// Additions for readers with scripts: sorting, filtering, choosing what to compare, copying, `/` to search.
// Every page is complete without this file.
"use strict";

function value(cell, kind) {
  const text = cell === undefined ? "" : (cell.dataset.v ?? cell.textContent.trim());
  if (kind !== "number") return text.toLocaleLowerCase();
  if (text === "") return NaN;
  return Number(text.replace(/^"|"$/g, ""));
}

function compare(a, b, kind) {
  if (kind !== "number") return a.localeCompare(b, undefined, { numeric: true });
  return a - b;
}

function sort(table, index, kind, descending) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => ({ row, key: value(row.cells[index], kind) }));
  const empty = (key) => (kind === "number" ? Number.isNaN(key) : key === "");
  rows.sort((a, b) => {
    if (empty(a.key) || empty(b.key)) return Number(empty(a.key)) - Number(empty(b.key));
    return descending ? compare(b.key, a.key, kind) : compare(a.key, b.key, kind);
  });
  body.append(...rows.map((item) => item.row));
}

// A column's heading becomes a button; columns.js has headings of its own.
function sortable(table, head) {
  const kind = head.dataset.sort;
  if (!kind) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sort";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const numeric = kind === "number";
    const before = head.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : numeric;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sort(table, head.cellIndex, kind, descending);
  });
}

for (const table of document.querySelectorAll("table[data-sortable]")) {
  for (const head of table.tHead.rows[0].cells) sortable(table, head);
}

for (const input of document.querySelectorAll("input[data-filter]")) {
  const table = document.getElementById(input.dataset.filter);
  if (!table || table.tBodies[0].rows.length < 6) continue;
  input.closest(".filter").hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLocaleLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });
}

const MOST = 6;
for (const form of document.querySelectorAll("form[data-pick]")) {
  const boxes = Array.from(form.querySelectorAll("input[name=ref]"));
  const said = form.querySelector("[data-picked]");
  const button = form.querySelector("button[type=submit]");
  const asked = said.textContent;
  const update = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    button.disabled = chosen < 2;
    for (const box of boxes) box.disabled = !box.checked && chosen >= MOST;
    said.textContent =
      chosen === 0 ? asked
      : chosen === 1 ? "1 chosen: one more"
      : chosen < MOST ? `${chosen} chosen` : `${chosen} chosen, the most at once`;
  };
  said.setAttribute("role", "status");
  form.addEventListener("change", update);
  addEventListener("pageshow", update);
  update();
}

if (navigator.clipboard) {
  for (const code of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${code.dataset.copy}`);
    const box = code.closest(".command");
    if (box) {
      box.classList.add("copies");
      box.append(button);
    } else {
      code.after(" ", button);
    }
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select it";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
  }
}

// Times are shown in UTC, the same for everybody; hovering tells the reader's own, and the exact one.
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
for (const time of document.querySelectorAll("time[datetime]")) {
  const found = new Date(time.dateTime);
  if (!Number.isNaN(found.getTime())) time.title = `${local.format(found)} (${time.dateTime})`;
}

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
  const box = document.querySelector("input[name=q]");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

// What was chosen to be shown tells names of metrics: it does not stay behind on a shared machine.
document.querySelector("form.account")?.addEventListener("submit", () => {
  try {
    for (const key of Object.keys(localStorage)) {
      if (key.startsWith("columns ")) localStorage.removeItem(key);
    }
  } catch {
    // a browser that keeps nothing has nothing to forget
  }
});

function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) target.closest("details")?.setAttribute("open", "");
}
addEventListener("hashchange", openTarget);
