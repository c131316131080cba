// A request as others would send it: from a shell, from Python.
//
// A request has `path`, `query` (values by name), `file` ({name, type}), `accept`, `saves` (the file that a picture is
// written to, if it is one), and for a job `job` (the document of POST /v1/jobs). `header` is that of the key, or empty.

/** A word of a POSIX shell. */
const shellWord = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** A literal of Python; JSON's texts and numbers are Python's too, but for true, false and null. */
const pythonValue = (value) => JSON.stringify(value, null, 1)
  .replace(/\n\s*/g, " ").replace(/([{[]) | ([}\]])/g, "$1$2");

function address(service, { path, query }) {
  const url = new URL(path, service);
  url.search = new URLSearchParams(query ?? {});
  return url.href;
}

function curlOf(request, service, header) {
  return request.job ? curlOfJob(request, service, header) : [
    "curl -s",
    `--data-binary ${shellWord(`@${request.file.name}`)}`,
    `-H ${shellWord(`Content-Type: ${request.file.type}`)}`,
    request.accept && `-H ${shellWord(`Accept: ${request.accept}`)}`,
    header && keyOption(header),
    shellWord(address(service, request)),
    request.saves && `-o ${shellWord(request.saves)}`,
  ].filter(Boolean).join(" \\\n  ");
}

function curlOfJob({ file, job }, service, header) {
  const key = header ? ` ${keyOption(header)}` : "";
  const jobs = new URL("v1/jobs", service).href;
  return [
    `job=$(curl -s ${shellWord(jobs)}${key} -H 'Content-Type: application/json' \\`,
    `  -d ${shellWord(JSON.stringify(job))})`,
    `mapfile -t fields < <(jq -r '.upload.fields | to_entries[] | "--form-string", "\\(.key)=\\(.value)"' <<< "$job")`,
    `curl -s "$(jq -r .upload.url <<< "$job")" "\${fields[@]}" -F ${shellWord(`file=@${file.name}`)}`,
    `until curl -s "${jobs}/$(jq -r .id <<< "$job")"${key} | tee answer.json | grep -qE '"status": ?"(succeeded|failed)"'`,
    "do sleep 1; done",
    "cat answer.json",
  ].join("\n");
}

// From the environment: what is copied from here may end up in a history or a repository.
const keyOption = (header) => `-H "${header}: ${header === "Authorization" ? "Bearer " : ""}$VISION_KEY"`;

function pythonOf(request, service, header) {
  const key = header === "Authorization" ? 'f"Bearer {os.environ[\'VISION_KEY\']}"' : 'os.environ["VISION_KEY"]';
  const imports = header ? ["import os", ""] : [];
  const auth = header ? [`"${header}": ${key}`] : [];
  return [...imports, ...(request.job ? pythonOfJob(request, service, auth) : pythonOfCall(request, service, auth))].join("\n");
}

function pythonOfCall({ path, query, file, accept, saves }, service, auth) {
  const headers = [`"Content-Type": ${pythonValue(file.type)}`, accept && `"Accept": ${pythonValue(accept)}`, ...auth];
  return [
    "import requests",
    "",
    `with open(${pythonValue(file.name)}, "rb") as photo:`,
    "    answer = requests.post(",
    `        ${pythonValue(new URL(path, service).href)},`,
    Object.keys(query ?? {}).length ? `        params=${pythonValue(query)},` : "",
    `        headers={${headers.filter(Boolean).join(", ")}},`,
    "        data=photo,",
    "    )",
    "answer.raise_for_status()",
    saves ? `with open(${pythonValue(saves)}, "wb") as picture:\n    picture.write(answer.content)` : "print(answer.json())",
  ].filter((line, at) => line || at === 1);
}

function pythonOfJob({ file, job }, service, auth) {
  return [
    "import time",
    "",
    "import requests",
    "",
    `jobs = ${pythonValue(new URL("v1/jobs", service).href)}`,
    `headers = {${auth.join(", ")}}`,
    `job = requests.post(jobs, json=${pythonValue(job)}, headers=headers).json()`,
    `with open(${pythonValue(file.name)}, "rb") as photo:`,
    '    form = job["upload"]',
    '    requests.post(form["url"], data=form["fields"], files={"file": photo}).raise_for_status()',
    'while job["status"] in ("queued", "running"):',
    "    time.sleep(1)",
    '    job = requests.get(f"{jobs}/{job[\'id\']}", headers=headers).json()',
    "print(job)",
  ];
}
