// Values and texts of others as pages show them: as `formats` and `render` of chalicelib/catalogue do.

const NON_FINITE = { NaN, Infinity, "-Infinity": -Infinity };

export function visible(text) {
  return text.replace(/[\x00-\x08\x0b-\x1f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replaceAll("\x7f", "\u2421").replace(/[\x80-\x9f\ufffe\uffff\p{Cs}]/gu, "\ufffd");
}

export function clipped(text, most) {
  const chars = Array.from(text);
  return chars.length <= most ? text : `${chars.slice(0, most - 1).join("").trimEnd()}\u2026`;
}

export function flat(text) {
  const undirected = text.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  return visible(undirected).replace(/\s+/g, " ").trim();
}

export function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function user(text, most) {
  const shown = clipped(text, most);
  const made = element("bdi", "", visible(shown));
  if (shown !== text) made.title = flat(clipped(text, 1000));
  return made;
}

export function figure(value) {
  const number = typeof value === "string" ? NON_FINITE[value] : value;
  if (number === undefined) return user(value, 40);
  if (Number.isNaN(number)) return "NaN";
  const sign = number < 0 ? "\u2212" : "";
  const size = Math.abs(number);
  if (size === Infinity) return `${sign}\u221e`;
  const [digits, power] = size.toExponential(5).split("e");
  const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  const exponent = Number(power);
  const text = exponent < -4 || exponent >= 6
    ? `${trimmed(digits)}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`
    : trimmed(size.toPrecision(6));
  const made = element("span", "", sign + text);
  if (String(value) !== text) made.title = String(value);
  return made;
}
