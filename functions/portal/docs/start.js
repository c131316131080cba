"use strict";

// The document has the address `/` for the service, and may lie under a path of somebody's domain.
const base = new URL(".", document.baseURI).href.replace(/\/$/, "");

// Swagger UI fills in every example: a call would name a model that may not be here. So optional ones become words.
function withoutFilledIn(response) {
  const document = JSON.parse(response.text);
  for (const parameter of Object.values(document.components.parameters)) {
    const packed = parameter.content?.["application/json"];
    const example = parameter.example ?? packed?.example;
    if (parameter.in === "query" && example !== undefined) {
      const text = parameter.explode === false ? example.join(",") : typeof example === "string" ? example : JSON.stringify(example);
      parameter.description += ` Example: \`${text}\``;
      delete parameter.example;
      delete packed?.example;
    }
  }
  response.text = JSON.stringify(document);
  return response;
}

window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true, // #/images/classify opens the operation
  persistAuthorization: false, // a key is forgotten with the page
  tryItOutEnabled: false,
  displayRequestDuration: true,
  filter: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  showCommonExtensions: true, // bounds beside each parameter
  validatorUrl: null, // nothing is asked elsewhere
  responseInterceptor: (response) => (response.url.endsWith("/openapi.json") && response.ok ? withoutFilledIn(response) : response),
  requestInterceptor: (request) => {
    const { origin, pathname, search } = new URL(request.url, document.baseURI);
    if (!request.loadSpec && origin === location.origin && !pathname.startsWith(new URL(base).pathname)) {
      request.url = base + pathname + search;
    }
    return request;
  },
});
