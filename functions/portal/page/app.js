// The page: what the reader has chosen, what was answered, and what happens when either changes.

const MAX_BYTES = Number(document.body.dataset.maxBytes);
const MAX_UPLOAD_BYTES = Number(document.body.dataset.maxUploadBytes);
const TYPING_MS = 350; // a pause in typing or dragging, after which a transform is asked for
const SERVICE = new URL(".", location.href).href;

const state = {
  photo: null,
  task: TASKS[location.hash.slice(1)] ? location.hash.slice(1) : "detection",
  models: [], // cards with labels, as GET /v1/models answers them
  model: {}, // id by task
  options: freshOptions(),
  asJob: false,
  answers: new Map(), // of this photo, by what was asked
  shown: null, // {json, blob, name}: what can be saved
  running: new AbortController(),
  language: "curl",
};

/** The models that a task may use: of explanations, all. */
const modelsFor = (task) => (task === "explain" ? state.models : state.models.filter((model) => model.task === task));

const modelOf = (task) => modelsFor(task).find((model) => model.id === state.model[task]);

// ------------------------------------------------------------------------------------------------ tasks and models

function showTasks() {
  const radios = Object.entries(TASKS).map(([task, { name }]) => element(
    "label", { class: "task" },
    element("input", {
      type: "radio", name: "task", value: task, checked: task === state.task,
      on: { change: () => chooseTask(task) },
    }),
    icon(task), element("span", {}, name),
  ));
  show(find("tasks"), element("legend", { class: "sr" }, "Task"), ...radios);
}

function chooseTask(task) {
  state.task = task;
  history.replaceState(null, "", `#${task}`);
  document.querySelector(`input[name=task][value=${task}]`).checked = true;
  showModels();
  update();
}

/** Reads the models; those that answer by themselves come first. */
async function readModels() {
  const [{ models }, health] = await Promise.all([
    api.send("v1/models").then((response) => response.json()), api.send("health").then((response) => response.json()),
  ]);
  const usual = new Set(health.models.filter((each) => each.default).map(({ id }) => id));
  state.models = models.sort((one, other) => usual.has(other.id) - usual.has(one.id));
  for (const task of Object.keys(TASKS)) state.model[task] ??= modelsFor(task).find(({ id }) => usual.has(id))?.id;
  state.model.explain = state.model.classification ?? state.model.explain;
  showModels();
}

function showModels() {
  const select = find("model"), models = modelsFor(state.task);
  find("model-field").hidden = state.task === "transform";
  const option = ({ id }) => element("option", { value: id, selected: id === state.model[state.task] }, id);
  const groups = Object.keys(TASKS).map((task) => [task, models.filter((model) => model.task === task)]).filter(([, of]) => of.length);
  show(select, ...(groups.length > 1
    ? groups.map(([task, of]) => element("optgroup", { label: TASKS[task].name }, ...of.map(option)))
    : models.map(option)));
  select.title = modelOf(state.task)?.description ?? "";
  showModelNote(modelOf(state.task));
}

/** Says what a model knows and where it comes from; of a starter, that it is one. */
function showModelNote(model) {
  const note = find("model-note"), counted = model ? kindsOf(model) : "";
  note.hidden = !model || state.task === "transform";
  note.classList.toggle("warning", Boolean(model?.fallback));
  note.textContent = model?.fallback
    ? `A starter model: ${counted}; most photos are answered wrongly. \u201cmake models\u201d fetches a better one.`
    : `${counted}, from ${sourceOf(model?.source)}`;
}

find("model").addEventListener("change", (event) => {
  state.model[state.task] = event.target.value;
  Object.assign(state.options.explain, { wanted: "", box: "" });
  state.options.detection.threshold = null;
  showModels();
  update();
});

/** Asks why: explains an answer with the model that gave it. */
function explain({ wanted, box = "" }) {
  state.model.explain = state.model[state.task];
  Object.assign(state.options.explain, { wanted, box });
  chooseTask("explain");
}

// ---------------------------------------------------------------------------------------------------------- photo

async function takePhoto(file) {
  if (!file) return;
  if (file.size > MAX_UPLOAD_BYTES) {
    begin();
    viewProblem(new Problem({ title: "Too large", detail: `${file.name} has ${bytes(file.size)}; the most that an upload may have is ${bytes(MAX_UPLOAD_BYTES)}.` }), [["New photo", () => find("file").click()]]);
    return;
  }
  state.running.abort();
  if (state.photo?.url) URL.revokeObjectURL(state.photo.url);
  forgetPictures();
  state.answers.clear();
  Object.assign(state.options.explain, { wanted: "", box: "" });
  state.photo = await openPhoto(file);
  begin();
  update();
}

/** Puts the bench in the place of the welcome. */
function begin() {
  if (!find("bench").hidden) return;
  find("hero").hidden = true;
  find("bench").hidden = false;
  find("main").focus({ preventScroll: true });
}

find("file").addEventListener("change", (event) => {
  takePhoto(event.target.files[0]);
  event.target.value = ""; // the same file may be chosen again
});
find("replace").addEventListener("click", () => find("file").click());
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
  if (file) takePhoto(file);
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    find("drop-veil").hidden = false;
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) find("drop-veil").hidden = true;
});
document.addEventListener("drop", (event) => {
  find("drop-veil").hidden = true;
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  takePhoto(event.dataTransfer.files[0]);
});

function showPhoto() {
  const { photo } = state;
  const alt = photo.url ? `Your photo, ${photo.name}` : `This browser cannot show ${photo.name}`;
  stage.setPicture(photo.url, photo.width, photo.height, alt);
  show(find("layer-controls"));
  find("meta").textContent = [photo.name, photo.width ? size(photo.width, photo.height) : "", bytes(photo.file.size)].filter(Boolean).join(" \u00b7 ");
}

// --------------------------------------------------------------------------------------------------------- asking

/** Shows what belongs to the photo, the task and the options, asking the service where that is not known yet. */
async function update({ keepOptions = false } = {}) {
  state.running.abort();
  if (!state.photo) return;
  const running = new AbortController();
  state.running = running;
  const { photo, task } = state;
  if (!keepOptions) {
    showPhoto();
    showOptions(task, { model: modelOf(task), options: state.options[task], asJob: state.asJob, setAsJob, changed: task === "transform" ? retransform : changed });
  }
  setShown(null);
  try {
    const answer = await answerTo(photo, task, running.signal);
    if (running.signal.aborted) return;
    if (task !== "transform") await matchPreview(photo, answer.json.image, running.signal);
    present(task, answer);
  } catch (error) {
    if (running.signal.aborted || error.name === "AbortError") return;
    failed(error);
  }
}

const changed = () => update({ keepOptions: true });
const retransform = debounced(changed, TYPING_MS);

function setAsJob(value) {
  state.asJob = value;
  update({ keepOptions: true });
}

/** Gives the answer to what is chosen: a known one, or the service's. */
async function answerTo(photo, task, signal) {
  if (keyBar.isNeeded()) throw new Problem({ title: "A key is needed", status: 401, detail: "This service answers callers with a key. Enter yours above." });
  if (!state.models.length) await readModels();
  const model = modelOf(task);
  if (!model && task !== "transform") throw new Problem({ title: "No model", detail: "This service has no model for this task." });
  const parameters = parametersAsked(task, model, state.options[task]);
  const question = JSON.stringify([task, parameters, state.asJob]);
  if (!state.answers.has(question)) {
    const cancel = () => {
      state.running.abort();
      show(find("results"), nothing("Cancelled."), element("button", { type: "button", on: { click: changed } }, "Ask again"));
    };
    viewBusy(TASKS[task].doing, cancel);
    say(TASKS[task].doing);
    const needsJob = state.asJob || (photo.file.size > MAX_BYTES && !photo.place);
    const started = performance.now();
    const byJob = () => answerByJob(photo, task, parameters, signal, cancel);
    const answer = await (needsJob ? byJob() : answerAtOnce(photo, task, parameters, signal).catch((error) => {
      if (!photo.place || error.status !== 404) throw error;
      photo.place = null; // the upload has expired by now
      return byJob();
    }));
    answer.elapsed = performance.now() - started;
    if (task === "transform") forgetPictures();
    state.answers.set(question, answer);
  }
  return state.answers.get(question);
}

/** Lets go of transformed pictures, of which a reader at a slider makes many. */
function forgetPictures() {
  for (const [question, { url }] of state.answers) {
    if (!url) continue;
    URL.revokeObjectURL(url);
    state.answers.delete(question);
  }
}

async function answerAtOnce(photo, task, parameters, signal) {
  const accept = task === "transform" ? "*/*" : "application/json";
  const response = await sendPhoto(photo, TASKS[task].path, parameters, { accept, signal });
  const times = serverTimes(response.headers.get("Server-Timing"));
  if (task === "transform" && !response.headers.get("Content-Type").startsWith("application/json")) {
    return { times, ...(await pictureOf(response)) };
  }
  const json = await response.json();
  if (!json.result_url) return { times, json };
  // Larger than one answer may be: it lies in the results bucket, under an address that is good for a while.
  const stored = await fetch(json.result_url, { signal, credentials: "omit" });
  return task === "transform" ? { times, ...(await pictureOf(stored, response)) } : { times, json: await stored.json() };
}

/** The picture that a transform answered, as the stage shows it. */
async function pictureOf(response, told = response) {
  const blob = await response.blob(), shown = { url: "", width: 0, height: 0 };
  await showAs(shown, blob);
  return {
    ...shown, blob, type: blob.type, ops: told.headers.get("X-Transform-Ops"), seed: told.headers.get("X-Transform-Seed"),
  };
}

async function answerByJob(photo, task, parameters, signal, cancel) {
  const document = jobOf(photo, task, parameters);
  const job = await runJob(document, photo.file, signal, (told) => {
    if (signal.aborted) return;
    viewJob(told, cancel);
    say({ uploading: "Uploading", queued: "Waiting in line", running: TASKS[task].doing }[told.status] ?? "");
  });
  photo.place = job.input; // the next question need not upload it again
  if (!job.result) {
    throw new Problem({ title: "Answer not here", detail: `The answer is too large to show. It lies at s3://${job.result_location.bucket}/${job.result_location.key}` });
  }
  if (task !== "transform") return { times: [], json: job.result };
  const [{ image, ops, seed }] = job.result.variants;
  const place = { bucket: image.bucket, key: image.key };
  const response = await api.sendJson("v1/transform", { s3: place }, { signal, headers: { "Content-Type": "application/json", Accept: "*/*" } });
  const picture = await pictureOf(response);
  return { times: [], ...picture, ops: typeof ops === "string" ? ops : "", seed: seed ?? job.result.seed, place, json: job.result };
}

const jobOf = ({ name, type }, task, parameters) => ({
  task, filename: name, content_type: type, ...(Object.keys(parameters).length ? { parameters } : {}),
});

/** Sees to it that the picture is the one that the answer speaks of, upright and to be shown by this browser. */
async function matchPreview(photo, image, signal) {
  const isTurned = photo.url && Math.abs(photo.width / photo.height - image.width / image.height) > 0.02 * (image.width / image.height);
  Object.assign(photo, { width: image.width, height: image.height });
  if (!photo.url || isTurned) {
    try {
      await fetchPreview(photo, signal);
    } catch (error) {
      if (error.name === "AbortError") throw error; // without a picture the answer is worth showing still
    }
  }
}

// -------------------------------------------------------------------------------------------------------- showing

const VIEWS = {
  classification: viewClasses, detection: viewBoxes, segmentation: viewMasks, explain: viewExplanation, transform: viewTransform,
};

function present(task, answer) {
  const { photo } = state;
  showPhoto();
  const around = {
    photo, model: modelOf(task), options: state.options[task], explain, changed: task === "transform" ? changed : showCode,
  };
  const { note, said } = VIEWS[task](task === "transform" ? answer : answer.json, around);
  find("results-note").textContent = note;
  viewTimes(answer.times, answer.elapsed);
  setShown(answer);
  showCode();
  say(said);
}

function failed(error) {
  const problem = error instanceof Problem ? error : new Problem({ title: "This page failed", detail: error.message });
  find("results-note").textContent = "";
  const actions = [["Try again", changed]];
  if (problem.status === 401) {
    actions[0] = ["Enter a key", () => keyBar.open()];
    keyBar.open(api.hasKey() ? problem.detail : "");
  } else if (problem.status === 413 && !state.asJob) {
    actions.unshift(["Send as a job", () => {
      state.asJob = true;
      update();
    }]);
  }
  viewProblem(problem, actions);
  say(`${problem.title}. ${problem.detail}`);
  showCode();
  if (!(error instanceof Problem)) throw error; // for whoever looks into the console
}

/** Remembers what can be saved. */
function setShown(answer) {
  state.shown = answer;
  find("save-picture").hidden = !answer;
  find("save-json").hidden = !answer?.json;
  if (!answer) {
    find("timings-card").hidden = true;
    find("results-note").textContent = "";
  }
}

find("save-json").addEventListener("click", () => {
  const text = JSON.stringify(state.shown.json, null, 2);
  save(new Blob([text], { type: "application/json" }), `${stem(state.photo.name)}-${state.task}.json`);
});
find("save-picture").addEventListener("click", async () => {
  const { blob } = state.shown;
  if (blob) save(blob, `${stem(state.photo.name)}-transformed.${EXTENSIONS[blob.type]}`);
  else save(await stage.annotated(), `${stem(state.photo.name)}-${state.task}.png`);
});

/** The call that answers what is shown. */
function showCode() {
  const { photo, task } = state, model = modelOf(task);
  find("code").hidden = !photo || (!model && task !== "transform");
  if (find("code").hidden) return;
  const parameters = parametersShown(task, model, state.options[task]);
  if (isDrawn(parameters.ops ?? "") && state.shown?.seed) parameters.seed = Number(state.shown.seed);
  const isJob = state.asJob || photo.file.size > MAX_BYTES;
  const type = state.shown?.blob?.type ?? photo.type;
  const request = {
    path: TASKS[task].path, query: parameters, file: photo, job: isJob ? jobOf(photo, task, parameters) : null,
    saves: task === "transform" ? `transformed.${EXTENSIONS[type] ?? "png"}` : "",
  };
  find("snippet").textContent = { curl: curlOf, python: pythonOf }[state.language](request, SERVICE, api.keyHeader());
  find("copy").textContent = "Copy";
}

show(find("languages"), ...[["curl", "curl"], ["python", "Python"]].map(([language, name]) => element("button", {
  type: "button", "aria-pressed": String(language === state.language),
  on: {
    click: (event) => {
      state.language = language;
      for (const button of find("languages").children) button.setAttribute("aria-pressed", button === event.currentTarget);
      showCode();
    },
  },
}, name)));

find("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(find("snippet").textContent);
    find("copy").textContent = "Copied";
    say("Copied");
  } catch {
    // Without HTTPS a page may not write to the clipboard; the reader can, with what is selected.
    getSelection().selectAllChildren(find("snippet"));
    find("copy").textContent = "Selected: press Ctrl C";
  }
});

// ---------------------------------------------------------------------------------------------------------- start

/** Reads the models and asks anew; where the key is wrong, says so at its field. */
async function start() {
  try {
    await readModels();
    keyBar.close();
  } catch (error) {
    if (error.status === 401) return keyBar.open(api.hasKey() ? error.detail : "");
    if (state.photo) return failed(error);
    return say(error.detail); // asked again with the first photo
  }
  return update();
}

keyBar.onUse(start);
find("largest").textContent = bytes(MAX_UPLOAD_BYTES);
showTasks();
if (keyBar.isNeeded()) keyBar.open();
else start();
