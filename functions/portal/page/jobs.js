// Photos too large for one request: a job, a form sent to the bucket, and questions until the job has ended.

const FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 4000;

/**
 * Runs a job.
 *
 * @param document of POST /v1/jobs.
 * @param file to upload.
 * @param told gets what is known by then: {id, status, share}; `status` is also "uploading", with the share 0..1 sent.
 * @returns the job as GET /v1/jobs/{id} tells it, succeeded.
 */
async function runJob(document, file, signal, told) {
  const made = await (await api.sendJson("v1/jobs", document, { signal })).json();
  told({ id: made.id, status: "uploading", share: 0 });
  await upload(made.upload, file, signal, (share) => told({ id: made.id, status: "uploading", share }));
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 1.4, LONGEST_WAIT_MS)) {
    const job = await (await api.send(`v1/jobs/${made.id}`, { signal, cache: "no-store" })).json();
    told({ id: job.id, status: job.status });
    if (job.status === "failed") throw new Problem({ ...job.problem, request: job.problem.instance?.split(":").at(-1) });
    if (job.status === "succeeded") return job;
    await pause(wait, signal);
  }
}

/** Sends a file by a presigned form. fetch() tells nothing of how much has been sent; XMLHttpRequest does. */
function upload({ url, fields }, file, signal, told) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", file); // S3 reads no field behind the file
    const request = new XMLHttpRequest();
    const failed = (detail) => reject(new Problem({ title: "Upload failed", status: request.status, detail }));
    request.upload.onprogress = (event) => event.lengthComputable && told(event.loaded / event.total);
    request.onload = () => {
      if (request.status < 300) return resolve();
      // S3 answers in XML: <Error><Code>..</Code><Message>..</Message>
      const message = /<Message>([^<]*)</.exec(request.responseText);
      return failed(message ? message[1] : `The bucket answered ${request.status}.`);
    };
    request.onerror = () => failed("The bucket could not be reached from here, or does not take uploads from this page's address.");
    request.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.open("POST", url);
    request.send(form);
  });
}

const pause = (wait, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, wait);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    reject(new DOMException("", "AbortError"));
  }, { once: true });
});
