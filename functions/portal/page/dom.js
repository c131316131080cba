// Building parts of the page. Text is set as text, never parsed: labels come from other people's models.

const find = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** Makes an element. `on` has listeners by event; other properties are attributes; children are nodes or text. */
function element(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same in SVG. */
function shape(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(made, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(name, value);
  }
  for (const [event, listener] of Object.entries(on)) made.addEventListener(event, listener);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const icon = (name) => shape("svg", { class: "icon", "aria-hidden": "true" }, shape("use", { href: `#i-${name}` }));

/** Puts children in the place of what an element has. */
function show(parent, ...children) {
  parent.replaceChildren(...children.filter(Boolean));
}

/** Says something to screen readers. */
function say(text) {
  find("live").textContent = text;
}

/** A slider with its label and its value; `changed` gets the number at every move. */
function slider(name, { id, min, max, step, value, text, changed }) {
  const output = element("output", { for: id, id: `${id}-value` }, text(value));
  const input = element("input", {
    type: "range", id, min, max, step, value, "aria-valuetext": text(value),
    on: {
      input: () => {
        const now = Number(input.value);
        output.textContent = text(now);
        input.setAttribute("aria-valuetext", text(now));
        changed(now);
      },
    },
  });
  return element("div", { class: "slider" }, element("label", { for: id }, name), input, output);
}

/** Calls `work` once, `delay` ms after the last of many calls. */
function debounced(work, delay) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), delay);
  };
}

/** Hands a blob to the reader as a file. */
function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = element("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
