// The service over HTTP: answers and their times, or a `Problem`.

/** What went wrong, in the words of the problem document (RFC 9457) where there is one. */
class Problem extends Error {
  constructor({ title, status = 0, detail, parameter = "", request = "" }) {
    super(detail);
    Object.assign(this, { title, status, detail, parameter, request });
  }
}

const api = (() => {
  let key = ""; // here and nowhere else: neither in storage nor in an address

  /** The header that the key goes in: tokens of an issuer (JWT) are bearer tokens, keys have a header of their own. */
  const keyHeader = () => (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(key) ? "Authorization" : "x-api-key");

  const keyHeaders = () => (key ? { [keyHeader()]: keyHeader() === "Authorization" ? `Bearer ${key}` : key } : {});

  /** Sends a request to the service, and gives the response if it is a success. */
  async function send(path, { query, headers, ...options } = {}) {
    const text = new URLSearchParams(query ?? {}).toString();
    let response;
    try {
      response = await fetch(text ? `${path}?${text}` : path, {
        ...options, headers: { ...headers, ...keyHeaders() }, credentials: "omit", redirect: "error",
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem({
        title: "No answer",
        detail: "The service could not be reached. It may have stopped, or this device is offline.",
      });
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  /** Sends JSON and gives the response. */
  const sendJson = (path, document, options) => send(path, {
    method: "POST", body: JSON.stringify(document), headers: { "Content-Type": "application/json" }, ...options,
  });

  async function problemOf(response) {
    const text = await response.text();
    let document = {};
    try {
      document = JSON.parse(text) ?? {};
    } catch {
      // What stands between here and the service, a proxy for instance, may answer with a page of its own.
    }
    return new Problem({
      title: String(document.title ?? `Status ${response.status}`),
      status: response.status,
      detail: String(document.detail ?? document.message ?? "The answer says no more."),
      parameter: String(document.parameter ?? ""),
      request: response.headers.get("X-Request-Id") ?? String(document.instance ?? "").split(":").at(-1),
    });
  }

  return {
    send,
    sendJson,
    setKey: (text) => { key = text; },
    hasKey: () => key !== "",
    /** The name of the header for the calls to copy; empty without a key. */
    keyHeader: () => (key ? keyHeader() : ""),
  };
})();

/** Gives the stages of a `Server-Timing` header in their order: [name, ms]. */
function serverTimes(header) {
  return [...(header ?? "").matchAll(/([\w-]+);dur=([\d.]+)/g)].map(([, name, duration]) => [name, Number(duration)]);
}
