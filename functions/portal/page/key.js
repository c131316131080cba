// The reader's key: asked for where the service needs one, kept in memory alone.

const keyBar = (() => {
  const form = find("key-form"), input = find("key"), button = find("key-button"), words = find("key-problem");
  const auth = document.body.dataset.auth;
  let used = () => {};

  const TEXTS = {
    JWT: ["Access token", "Use token"],
    IAM: ["Signed requests", ""],
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
    words.textContent = problem;
    if (auth === "IAM") {
      // A page cannot sign requests without the caller's AWS credentials, which do not belong here.
      find("key-help").textContent = "This service takes requests signed for AWS (IAM) only, which a page cannot make; curl --aws-sigv4 can.";
      form.querySelector(".key-entry").hidden = true;
    }
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
