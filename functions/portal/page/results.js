// Answers as lists beside the photo, layers on it, and controls below it.
//
// A view gets the answer and its surroundings, shows them, and gives {note, said, json}: a few words for the heading,
// a sentence for screen readers. `around` is {photo, model, options, changed, explain, choose}.

/** Raises one result, in the list and on the photo. */
function raise(key) {
  stage.raise(key);
  for (const row of document.querySelectorAll("[data-row]")) row.classList.toggle("raised", row.dataset.row === String(key));
}

/** What raises a row when it is pointed at or reached with the keyboard. */
const raising = (key) => ({
  pointerenter: () => raise(key), pointerleave: () => raise(null), focusin: () => raise(key), focusout: () => raise(null),
});

/** A row of results: a label, a bar, a number, and perhaps a question. */
function row({ key, label, color, share, number, why }) {
  const bar = element("span", { class: "bar-fill" });
  bar.style.setProperty("--share", share);
  if (color) bar.style.setProperty("--color", color);
  const swatch = color ? element("span", { class: "swatch" }) : null;
  swatch?.style.setProperty("--color", color);
  return element(
    "li", { class: "row", "data-row": key, on: raising(key) },
    element("span", { class: "row-label" }, swatch, element("span", {}, label)),
    element("span", { class: "row-number" }, number),
    why ? element("button", { type: "button", class: "why", "aria-label": `Explain ${label}`, on: { click: why } }, "Why?") : null,
    element("span", { class: "bar-track", "aria-hidden": "true" }, bar),
  );
}

const nothing = (text) => element("p", { class: "empty" }, text);

const thresholdSlider = (id, value, min, changed) => slider("Show from a score of", {
  id, min: Math.ceil(min * 100), max: 100, step: 1, value: Math.round(value * 100), text: (now) => `${now}%`,
  changed: (now) => changed(now / 100),
});

function viewClasses(answer, { options, changed, explain }) {
  const list = element("ol", { class: "rows" });
  const draw = () => {
    const shown = answer.predictions.filter(({ score: value }) => value >= options.threshold);
    show(list, ...shown.map(({ label, score: value, class_id }, key) => row({
      key, label, share: value, number: score(value), why: () => explain({ wanted: label, class_id }),
    })));
    note.textContent = shown.length ? "" : `No class scores ${percent(options.threshold)} or more.`;
    return shown;
  };
  const note = nothing("");
  const shown = draw();
  show(find("results"), list, note);
  show(find("layer-controls"), thresholdSlider("threshold", options.threshold, 0, (value) => {
    options.threshold = value;
    draw();
    changed();
  }));
  const best = shown[0];
  return {
    note: many(answer.predictions.length, "class", "classes"),
    said: best ? `${best.label}, ${score(best.score)}` : "No class found",
  };
}

function viewBoxes(answer, { model, options, changed, explain }) {
  const { least, usual } = scoreRange(model);
  const color = palette(answer.predictions.map(({ label }) => label));
  const all = answer.predictions.map((each, key) => ({ ...each, key, color: color(each.label) }));
  options.threshold ??= usual;
  const list = element("ol", { class: "rows" }), note = nothing("");
  const draw = () => {
    const shown = all.filter(({ score: value }) => value >= options.threshold);
    // The best last, so that its label lies over the others'.
    stage.setBoxes(shown.map((each) => ({ ...each, text: `${each.label} ${score(each.score)}` })).reverse(), raise);
    show(list, ...shown.map(({ key, label, color: tint, score: value, class_id }) => row({
      key, label, color: tint, share: value, number: score(value),
      // The boxes that the service answers by itself are the first of these.
      why: () => explain(value >= usual && options.iou_threshold === "" ? { box: key, wanted: label } : { wanted: label, class_id }),
    })));
    const hidden = all.length - shown.length;
    note.textContent = shown.length ? "" : "Nothing scores that high.";
    find("results-note").textContent = many(shown.length, "object") + (hidden ? `, ${hidden} below` : "");
    return shown;
  };
  const shown = draw();
  show(find("results"), list, note);
  show(find("layer-controls"), thresholdSlider("threshold", options.threshold, least, (value) => {
    options.threshold = value;
    say(many(draw().length, "object"));
    changed();
  }));
  const first = shown.slice(0, 5).map(({ label, score: value }) => `${label} ${score(value)}`);
  return { note: find("results-note").textContent, said: `${many(shown.length, "object")}${first.length ? `: ${first.join(", ")}` : ""}` };
}

function viewMasks(answer, { options, explain }) {
  const color = palette(answer.segments.map(({ label }) => label));
  const layers = new Map(); // made when the canvas has its size
  const list = element("ol", { class: "rows" }), note = nothing("");
  const isShown = ({ area }) => area >= options.area;
  const segments = answer.segments.map((each, key) => ({ ...each, key }));
  const paint = (context, width, height, raised) => {
    for (const { key, mask, label } of segments.filter(isShown)) {
      if (!layers.has(key)) layers.set(key, maskLayer(mask, color(label), width, height));
      context.globalAlpha = raised === null || raised === key ? 1 : 0.25;
      context.drawImage(layers.get(key).canvas, 0, 0);
    }
    context.globalAlpha = 1;
  };
  const at = (x, y) => {
    const canvas = find("layer");
    const pixel = Math.min(canvas.height - 1, Math.floor(y * canvas.height)) * canvas.width + Math.min(canvas.width - 1, Math.floor(x * canvas.width));
    const found = segments.find((each) => isShown(each) && layers.get(each.key)?.inside[pixel]);
    return found && { key: found.key, text: `${found.label} \u00b7 ${percent(found.area, 1)} of the photo` };
  };
  const draw = () => {
    const shown = segments.filter(isShown);
    stage.setLayer(paint, at, raise);
    stage.setOpacity(options.opacity);
    show(list, ...shown.map(({ key, label, area, class_id }) => row({
      key, label, color: color(label), share: area, number: percent(area, 1), why: () => explain({ wanted: label, class_id }),
    })));
    note.textContent = shown.length ? "" : segments.length ? "No mask is that large." : "Nothing that this model knows.";
    return shown;
  };
  const shown = draw();
  show(find("results"), list, note);
  show(
    find("layer-controls"),
    slider("Strength of the masks", {
      id: "opacity", min: 0, max: 100, step: 1, value: options.opacity * 100, text: (now) => `${now}%`,
      changed: (now) => stage.setOpacity(options.opacity = now / 100),
    }),
    slider("Hide masks under", {
      id: "area", min: 0, max: 50, step: 0.5, value: options.area * 100, text: (now) => `${now}% of the photo`,
      changed: (now) => {
        options.area = now / 100;
        say(many(draw().length, "mask"));
      },
    }),
  );
  const parts = shown.map(({ label, area }) => `${label} ${percent(area)}`);
  return { note: many(segments.length, "mask"), said: `${many(shown.length, "mask")}${parts.length ? `: ${parts.join(", ")}` : ""}` };
}

function viewExplanation(answer, { options }) {
  const { map, target: what, image } = answer;
  const heat = heatLayer(map);
  stage.setLayer((context, width, height) => {
    const [across, down] = [width / image.width, height / image.height];
    const { xmin, ymin, xmax, ymax } = map.box;
    context.fillStyle = "rgb(0 0 0 / 55%)"; // what the model did not see
    context.fillRect(0, 0, width, height);
    context.clearRect(xmin * across, ymin * down, (xmax - xmin) * across, (ymax - ymin) * down);
    context.imageSmoothingQuality = "high";
    context.drawImage(heat, xmin * across, ymin * down, (xmax - xmin) * across, (ymax - ymin) * down);
  }, (x, y) => {
    const [rows, columns] = map.size, { xmin, ymin, xmax, ymax } = map.box;
    const column = Math.floor(((x * image.width - xmin) / (xmax - xmin)) * columns);
    const value = map.values[Math.floor(((y * image.height - ymin) / (ymax - ymin)) * rows)]?.[column];
    return value === undefined ? null : { key: null, text: `${signed(map.lowest + value * (map.highest - map.lowest))} of the score` };
  }, () => {});
  stage.setOpacity(options.opacity);
  if (what.box) stage.setBoxes([{ key: 0, box: what.box, color: "#ffffff", text: what.label }], () => {});
  show(find("layer-controls"), slider("Strength of the map", {
    id: "opacity", min: 0, max: 100, step: 1, value: options.opacity * 100, text: (now) => `${now}%`,
    changed: (now) => stage.setOpacity(options.opacity = now / 100),
  }));
  const isFlat = map.highest === map.lowest;
  show(
    find("results"),
    element("p", { class: "target" }, element("strong", {}, what.label), ` scores ${score(what.score)}`),
    isFlat ? nothing("Every part changes the score alike: this map tells nothing.") : scale(map),
    trust(answer),
    element("p", { class: "fine" }, `${methodName(answer.method)}, ${many(answer.runs, "run")} of the model`
      + (answer.complete ? "." : ` of ${answer.budget}: time ran out. Fewer runs make a rougher map; a job has more time.`)),
  );
  return { note: methodName(answer.method), said: `Explained: ${what.label}, ${score(what.score)}. ${verdict(answer)}` };
}

const methodName = (method) => ({ rise: "RISE", occlusion: "Occlusion", "score-cam": "Score-CAM" })[method] ?? method;

const signed = (value) => `${value > 0 ? "+" : ""}${value.toFixed(3)}`;

/** The colours of heat and what they stand for. */
function scale({ lowest, highest }) {
  const canvas = element("canvas", { width: 256, height: 1, "aria-hidden": "true" });
  const image = new ImageData(256, 1);
  for (let at = 0; at < 256; at++) image.data.set([...heatColor(at / 255), 255], at * 4);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return element(
    "figure", { class: "scale" },
    element("figcaption", {}, "What the score loses where a part is hidden"),
    canvas,
    element("div", { class: "scale-ends" }, element("span", {}, signed(lowest)), element("span", {}, signed(highest))),
  );
}

function verdict({ deletion_auc: deletion, insertion_auc: insertion, random_map: random }) {
  if (deletion === null || random?.deletion_auc == null) return "Too few runs to tell how far to trust the map.";
  const [falls, rises] = [random.deletion_auc - deletion, insertion - random.insertion_auc];
  return falls > 0.02 && rises > 0.02
    ? "Clearly better than a random map: these are parts that the model goes by."
    : "Hardly better than a random map: do not read much into it.";
}

/** The areas under the curves of deletion and insertion, beside those of a random map, and what they mean. */
function trust(answer) {
  if (answer.deletion_auc === null || answer.deletion_auc === undefined) return element("p", { class: "fine" }, verdict(answer));
  const random = answer.random_map ?? {};
  const line = (name, help, value, other) => element(
    "tr", {}, element("th", { scope: "row" }, name, element("small", {}, help)),
    element("td", {}, value.toFixed(3)), element("td", {}, other == null ? "\u2013" : other.toFixed(3)),
  );
  return element(
    "div", { class: "trust" },
    element("p", { class: "verdict" }, verdict(answer)),
    element(
      "table", {},
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Mean score"), element("th", { scope: "col" }, "Map"), element("th", { scope: "col" }, "Random"))),
      element(
        "tbody", {},
        line("Deletion", "while the hottest parts go first: low is good", answer.deletion_auc, random.deletion_auc),
        line("Insertion", "while the hottest parts come first: high is good", answer.insertion_auc, random.insertion_auc),
      ),
    ),
  );
}

/** What went wrong, in full. `actions` are [text, listener]. */
function viewProblem(problem, actions) {
  const facts = [["Parameter", problem.parameter], ["Status", problem.status || ""], ["Request", problem.request]].filter(([, value]) => value);
  show(find("results"), element(
    "div", { class: "problem", role: "alert" },
    element("h3", {}, problem.title), element("p", {}, problem.detail),
    facts.length ? element("dl", {}, ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))])) : null,
    element("div", { class: "actions" }, ...actions.map(([text, click]) => element("button", { type: "button", on: { click } }, text))),
  ));
}

/** A running request: what it does, how long already, and a way out. */
function viewBusy(text, cancel) {
  const elapsed = element("span", { class: "elapsed" });
  const started = performance.now();
  const timer = setInterval(() => {
    const seconds = (performance.now() - started) / 1000;
    if (!elapsed.isConnected && seconds > 1) clearInterval(timer);
    elapsed.textContent = seconds < 1 ? "" : `${Math.floor(seconds)} s`;
  }, 250);
  show(find("results"), element(
    "div", { class: "busy" }, element("span", { class: "spinner", "aria-hidden": "true" }),
    element("span", {}, `${text} \u2026`), elapsed,
    element("button", { type: "button", class: "quiet", on: { click: cancel } }, "Cancel"),
  ));
}

const STEPS = [["uploading", "Upload"], ["queued", "Wait in line"], ["running", "Work"], ["succeeded", "Answer"]];

/** A job on its way: {id, status, share}. */
function viewJob({ id, status, share }, cancel) {
  const progress = find("results").querySelector(".job progress");
  if (status === "uploading" && progress) { // what has the focus stays where it is
    progress.value = share;
    progress.nextElementSibling.textContent = percent(share);
    return;
  }
  const now = STEPS.findIndex(([name]) => name === status);
  const steps = STEPS.map(([name, text], at) => element(
    "li", { class: at < now ? "done" : at === now ? "now" : "", "aria-current": at === now ? "step" : null },
    element("span", {}, text),
    name === "uploading" && status === "uploading"
      ? element("progress", { max: 1, value: share, "aria-label": "Upload" }) : null,
    name === "uploading" && status === "uploading" ? element("span", { class: "row-number" }, percent(share)) : null,
  ));
  show(find("results"), element(
    "div", { class: "job" }, element("h3", {}, "Job"),
    element("p", { class: "fine" }, "The photo goes through the bucket, and the answer stays under this id: ", element("code", {}, id)),
    element("ol", { class: "steps" }, ...steps),
    element("button", { type: "button", class: "quiet", on: { click: cancel } }, "Stop waiting"),
  ));
}

const STAGE_NAMES = {
  decode: "Decode", preprocess: "Prepare", inference: "Model", postprocess: "Finish", transform: "Transform", encode: "Encode", explain: "Explain",
};

/** Where the time went: the service's own stages, and the way there and back. */
function viewTimes(times, elapsed) {
  const total = times.find(([name]) => name === "total")?.[1];
  const stages = times.filter(([name]) => name !== "total");
  const sum = stages.reduce((all, [, duration]) => all + duration, 0);
  const bars = stages.map(([name, duration], at) => {
    const part = element("span", { class: `time-${at % 4}` });
    part.style.flexGrow = duration / (sum || 1);
    return part;
  });
  const words = stages.map(([name, duration], at) => element(
    "li", {}, element("span", { class: `dot time-${at % 4}` }), STAGE_NAMES[name] ?? name, element("b", {}, milliseconds(duration)),
  ));
  find("timings-card").hidden = !stages.length;
  find("timings-note").textContent = (total ? `${milliseconds(total)} in the service, ` : "") + `${milliseconds(elapsed)} in all`;
  show(find("timings"), element("div", { class: "time-bar", "aria-hidden": "true" }, ...bars), element("ul", { class: "time-words" }, ...words));
}
