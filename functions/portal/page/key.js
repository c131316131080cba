// The reader's key: asked for where the service needs one, kept in memory alone.

const keyBar = (() => {
  const form = find("key-form"), input = find("key"), button = find("key-button"), words = find("key-problem");
  const auth = document.body.dataset.auth;
  let used = () => {};

  const TEXTS = {
    JWT: ["Access token", "Use token"],
    IAM: ["Key", "Use key"],
  };
  const [name, action] = TEXTS[auth] ?? ["API key", "Use key"];
  find("key-label").textContent = name;
  find("key-button-text").textContent = name;
  form.querySelector("button").textContent = action;
  button.hidden = auth === "NONE";

  function open(problem = "") {
    button.hidden = false;
    form.hidden = false;
    button.setAttribute("aria-expanded", "true");
    words.textContent = auth === "IAM"
      ? "This service takes requests signed for AWS (IAM) only, which a page cannot make. The calls below work with curl --aws-sigv4."
      : problem;
    input.focus();
  }

  function close() {
    form.hidden = true;
    button.setAttribute("aria-expanded", "false");
  }

  button.addEventListener("click", () => (form.hidden ? open() : close()));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && api.hasKey()) {
      close();
      button.focus();
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    api.setKey(input.value.trim());
    words.textContent = "";
    used();
  });

  return {
    open,
    close,
    isNeeded: () => auth !== "NONE" && !api.hasKey(),
    onUse: (listener) => { used = listener; },
  };
})();
