// What the reader may choose for a task; for transforms, the chain as text and controls that write into it.

/** A field of the options. */
function field(name, input, hint) {
  const hintId = hint ? `${input.id}-hint` : null;
  if (hintId) input.setAttribute("aria-describedby", hintId);
  return element(
    "div", { class: "field" }, element("label", { for: input.id }, name), input,
    hint ? element("p", { class: "fine", id: hintId }, hint) : null,
  );
}

const choice = (id, value, choices, changed) => element(
  "select", { id, on: { change: (event) => changed(event.target.value) } },
  ...choices.map(([each, text]) => element("option", { value: each, selected: each === value }, text)),
);

const numberField = (id, value, bounds, changed) => element("input", {
  id, type: "number", value, inputmode: "decimal", ...bounds,
  on: { change: (event) => event.target.reportValidity() && changed(event.target.value === "" ? "" : Number(event.target.value)) },
});

/** Shows the options of a task. `around` is {model, options, asJob, setAsJob, changed}; changed() asks anew. */
function showOptions(task, around) {
  const { options, changed } = around;
  const set = (name) => (value) => {
    options[name] = value;
    changed();
  };
  const fields = {
    classification: () => [
      field("Classes", numberField("top-k", options.top_k, { min: 1, max: 1000, required: true }, set("top_k"))),
    ],
    detection: () => [
      field("Overlap allowed (IoU)", numberField("iou", options.iou_threshold, { min: 0, max: 1, step: 0.05, placeholder: String(around.model?.defaults.iou_threshold ?? "") }, set("iou_threshold")),
        "Of two boxes of a class that overlap more, the weaker goes."),
    ],
    segmentation: () => [],
    explain: () => explainFields(around, set),
    transform: () => transformFields(around),
  }[task]();
  const asJob = element("input", { type: "checkbox", id: "as-job", checked: around.asJob, on: { change: (event) => around.setAsJob(event.target.checked) } });
  show(find("options-body"), ...fields, element("div", { class: "check" }, asJob, element("label", { for: "as-job" }, "Send as a job")));
  // Where the options are the work, they stand first; else the answer does.
  const isWork = task === "transform" || task === "explain";
  find("results-card")[isWork ? "before" : "after"](find("options"));
  find("options").open = isWork;
}

function explainFields({ model, options, changed }, set) {
  const labels = (model?.labels ?? []).map((label) => element("option", { value: label }));
  const wanted = element("input", {
    id: "wanted", value: options.wanted, list: "labels", placeholder: "the best that the model finds", autocomplete: "off",
    on: {
      change: (event) => {
        Object.assign(options, { wanted: event.target.value.trim(), box: "" });
        changed();
      },
    },
  });
  const methods = [["", "As usual"], ["rise", "RISE"], ["occlusion", "Occlusion"], ["score-cam", "Score-CAM"]];
  return [
    element("datalist", { id: "labels" }, ...labels),
    field("What to explain", wanted),
    element(
      "div", { class: "pair" },
      field("Method", choice("method", options.method, methods, set("method"))),
      field("Runs of the model", numberField("budget", options.budget, { min: 1, max: 20000, placeholder: "as usual" }, set("budget"))),
    ),
  ];
}

const TOGGLES = [
  ["Flip", "flip:horizontal"], ["Flip vertically", "flip:vertical"], ["Grayscale", "grayscale"], ["Auto contrast", "autocontrast"],
  ["Equalize", "equalize"], ["Invert", "invert"], ["RandAugment", "randaugment"], ["TrivialAugment", "trivialaugment"],
  ["Random crop", "random-resized-crop:224"],
];
// Name of the operation, its bounds, and the value that changes nothing.
const DIALS = [
  ["Rotate", "rotate", -180, 180, 1, 0, (now) => `${now}\u00b0`], ["Brightness", "brightness", 0, 2, 0.05, 1, String],
  ["Contrast", "contrast", 0, 2, 0.05, 1, String], ["Saturation", "saturation", 0, 2, 0.05, 1, String],
  ["Sharpness", "sharpness", 0, 4, 0.1, 1, String], ["Blur", "blur", 0, 20, 0.5, 0, (now) => `${now} px`],
];
const SIDES = [["", "Same"], ["256", "256"], ["512", "512"], ["1024", "1024"], ["1920", "1920"]];
const FORMATS = [["", "Same"], ["jpeg", "JPEG"], ["png", "PNG"], ["webp", "WebP"], ["avif", "AVIF"]];

function transformFields({ options, changed }) {
  const text = element("textarea", {
    id: "ops", rows: 3, spellcheck: "false", autocapitalize: "off", autocomplete: "off", placeholder: "resize:w=640|rotate:15",
    on: { input: () => write(text.value, text) },
  });
  text.value = options.ops;
  const controls = element("div", { class: "controls" });

  /** Takes a chain over; what it was written with stays as it is, for it has the focus. */
  function write(ops, source) {
    Object.assign(options, { ops: ops.trim(), seed: "" });
    if (source !== text) text.value = ops;
    for (const button of controls.querySelectorAll("[data-toggle]")) {
      button.setAttribute("aria-pressed", operations(ops).includes(button.dataset.toggle));
    }
    for (const dial of controls.querySelectorAll("[data-dial]")) {
      if (dial === source) continue;
      dial.value = argumentOf(ops, dial.dataset.dial, Number(dial.dataset.neutral));
      dial.dispatchEvent(new Event("shown"));
    }
    for (const control of controls.querySelectorAll("button, input, select")) control.disabled = isJson(ops);
    changed();
  }

  const dials = DIALS.map(([name, operation, min, max, step, neutral, shown]) => {
    const made = slider(name, {
      id: `dial-${operation}`, min, max, step, value: argumentOf(options.ops, operation, neutral), text: shown,
      changed: (now) => write(withOperation(text.value, operation, now === neutral ? null : `${operation}:${now}`), input),
    });
    const input = made.querySelector("input");
    Object.assign(input.dataset, { dial: operation, neutral });
    input.addEventListener("shown", () => {
      input.setAttribute("aria-valuetext", shown(Number(input.value)));
      made.querySelector("output").textContent = shown(Number(input.value));
    });
    return made;
  });
  const toggles = TOGGLES.map(([name, operation]) => element("button", {
    type: "button", class: "chip", "data-toggle": operation, "aria-pressed": String(operations(options.ops).includes(operation)),
    on: { click: (event) => write(toggled(text.value, operation), event.target) },
  }, name));
  const side = choice("side", "", SIDES, (value) => write(
    withOperation(text.value, "resize", value ? `resize:w=${value},h=${value},fit=inside` : null), side,
  ));
  show(controls, element("div", { class: "chips", role: "group", "aria-label": "Operations" }, ...toggles), element("div", { class: "dials" }, ...dials));
  const set = (name) => (value) => {
    options[name] = value;
    changed();
  };
  return [
    field("Chain of operations", text, "In their order, with | between them. Every operation is in the API docs."),
    controls,
    element(
      "div", { class: "pair" },
      field("Longest side", side),
      field("Format", choice("format", options.format, FORMATS, set("format"))),
      field("Quality", numberField("quality", options.quality, { min: 1, max: 100, placeholder: "as usual" }, set("quality"))),
    ),
  ];
}

/** The transformed picture on the stage, and what was done beside it. */
function viewTransform({ blob, url, width, height, ops, seed, place, type }, { photo, options, changed }) {
  const isOriginal = (now) => stage.setPicture(now ? photo.url : url, now ? photo.width : width, now ? photo.height : height, now ? "The photo as it was" : "The transformed photo");
  isOriginal(false);
  const before = photo.url && url ? element("button", {
    type: "button", class: "chip", "aria-pressed": "false",
    on: {
      click: () => {
        const now = before.getAttribute("aria-pressed") !== "true";
        before.setAttribute("aria-pressed", now);
        isOriginal(now);
      },
    },
  }, "Show the original") : null;
  const again = isDrawn(options.ops) ? element("button", {
    type: "button", class: "chip",
    on: {
      click: () => {
        options.seed = Math.floor(Math.random() * 2 ** 31);
        changed();
      },
    },
  }, "Draw again") : null;
  show(find("layer-controls"), element("div", { class: "chips" }, before, again));
  const facts = [
    ["Size", width ? `${size(width, height)} (was ${size(photo.width, photo.height)})` : ""],
    ["File", blob ? `${type}, ${bytes(blob.size)} (was ${bytes(photo.file.size)})` : ""],
    ["Done", ops || "nothing but the format"], ["Seed", isDrawn(options.ops) ? seed : ""], ["Stored at", place ? `s3://${place.bucket}/${place.key}` : ""],
  ].filter(([, value]) => value);
  show(find("results"), element("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))])));
  return { note: "", said: `Transformed, ${size(width, height)}` };
}
