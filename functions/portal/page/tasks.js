// The tasks: where each is asked, with which parameters, and how its call to copy looks.

const CLASSES_ASKED = 10;
// Asked for once; the slider chooses among what came, without another request.
const LEAST_SCORE = 0.05;

const TASKS = {
  classification: { name: "Classify", path: "v1/classify", doing: "Looking for classes" },
  detection: { name: "Detect", path: "v1/detect", doing: "Looking for objects" },
  segmentation: { name: "Segment", path: "v1/segment", doing: "Drawing masks" },
  transform: { name: "Transform", path: "v1/transform", doing: "Transforming" },
  explain: { name: "Explain", path: "v1/explain", doing: "Hiding parts and looking what changes" },
};

/** What the reader has chosen for each task; empty: as the service does by itself. */
const freshOptions = () => ({
  classification: { threshold: 0, top_k: CLASSES_ASKED },
  detection: { threshold: null, iou_threshold: "" },
  segmentation: { area: 0, opacity: 0.8 },
  transform: { ops: "", format: "", quality: "", seed: "" },
  explain: { wanted: "", method: "", budget: "", box: "", opacity: 0.85 },
});

/** Gives the lowest score that is asked for and the one that is shown first. */
function scoreRange(model) {
  const usual = model?.defaults?.threshold ?? 0;
  return { least: Math.min(LEAST_SCORE, usual), usual };
}

const given = (values) => Object.fromEntries(
  Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined),
);

/** Gives the parameters that a task is asked with. */
function parametersAsked(task, model, options) {
  switch (task) {
    case "classification": return { model: model.id, top_k: options.top_k, threshold: 0 };
    case "detection": return given({ model: model.id, threshold: scoreRange(model).least, iou_threshold: options.iou_threshold });
    case "segmentation": return { model: model.id };
    case "explain": return given({ model: model.id, ...target(model, options), method: options.method, budget: options.budget });
    default: return given(options);
  }
}

/** Gives the parameters of a call that answers what is shown. */
function parametersShown(task, model, options) {
  const asked = parametersAsked(task, model, options);
  if (task === "classification") {
    const { threshold, ...others } = asked;
    return options.threshold > 0 ? { ...others, threshold: options.threshold } : others;
  }
  return task === "detection" ? { ...asked, threshold: options.threshold ?? scoreRange(model).usual } : asked;
}

/** What to explain: a box that the reader chose, a class by its number where the model has such a label, or the text. */
function target(model, { wanted, box }) {
  if (box !== "") return { box };
  if (!wanted) return {};
  const number = model.labels.indexOf(wanted);
  return number < 0 ? { label: wanted } : { class_id: number };
}

const EXTENSIONS = { "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/avif": "avif" };
