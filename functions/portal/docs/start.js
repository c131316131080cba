"use strict";

// The document has the address `/` for the service, and may lie under a path of somebody's domain.
const base = new URL(".", document.baseURI).href.replace(/\/$/, "");

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
  requestInterceptor: (request) => {
    const { origin, pathname, search } = new URL(request.url, document.baseURI);
    if (!request.loadSpec && origin === location.origin && !pathname.startsWith(new URL(base).pathname)) {
      request.url = base + pathname + search;
    }
    return request;
  },
});
