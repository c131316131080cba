// The photo and what lies over it: boxes in SVG, masks and heat on a canvas.

const stage = (() => {
  const [frame, picture, svg, layer, tip] = ["frame", "picture", "boxes", "layer", "tip"].map(find);
  const LONGEST = 1600; // pixels of the canvas, enough for a screen
  let width = 1, height = 1; // of the photo
  let boxes = [], raised = null, paint = null, keyAt = null, hovered = () => {};

  /** Shows a picture; without one, plain ground of that size. */
  function setPicture(url, across, down, alt) {
    [width, height] = [across || 4, down || 3];
    frame.style.setProperty("--ratio", width / height);
    frame.classList.toggle("bare", !url);
    picture.alt = alt;
    if (url) picture.src = url;
    else picture.removeAttribute("src");
    find("no-preview").hidden = Boolean(url);
    find("no-preview").textContent = url ? "" : alt;
    clear();
  }

  function clear() {
    [boxes, raised, paint, keyAt, hovered] = [[], null, null, null, () => {}];
    layer.style.opacity = "";
    layer.hidden = true;
    tip.hidden = true;
    svg.replaceChildren();
  }

  /** Shows boxes: [{key, box, color, text}], in pixels of the photo. */
  function setBoxes(list, onHover) {
    boxes = list;
    hovered = onHover;
    drawSvg();
  }

  /** Shows a canvas; `painting(context, width, height, raised)` paints it, `key(x, y)` tells what lies at 0..1, 0..1. */
  function setLayer(painting, key, onHover) {
    const scale = Math.min(1, LONGEST / Math.max(width, height));
    layer.width = Math.max(1, Math.round(width * scale));
    layer.height = Math.max(1, Math.round(height * scale));
    [paint, keyAt, hovered] = [painting, key, onHover];
    layer.hidden = false;
    drawLayer();
  }

  /** Raises what has a key above the rest; `null`: nothing. */
  function raise(key) {
    if (key === raised) return;
    raised = key;
    for (const group of svg.children) group.classList.toggle("raised", group.dataset.key === String(key));
    svg.classList.toggle("choosing", key !== null);
    if (paint) drawLayer();
  }

  function drawLayer() {
    const context = layer.getContext("2d");
    context.clearRect(0, 0, layer.width, layer.height);
    paint(context, layer.width, layer.height, raised);
  }

  function drawSvg() {
    const { clientWidth: across, clientHeight: down } = frame;
    svg.setAttribute("viewBox", `0 0 ${across} ${down}`);
    const groups = boxes.map((each) => boxShape(each, across / width, down / height, across));
    for (const [group, { key }] of groups.map((group, at) => [group, boxes[at]])) {
      group.addEventListener("pointerenter", () => hovered(key));
      group.addEventListener("pointerleave", () => hovered(null));
      group.classList.toggle("raised", key === raised);
    }
    svg.replaceChildren(...groups);
    for (const group of groups) fitLabel(group);
  }

  new ResizeObserver(() => boxes.length && drawSvg()).observe(frame);

  frame.addEventListener("pointermove", (event) => {
    if (!keyAt) return;
    const edges = frame.getBoundingClientRect();
    const found = keyAt((event.clientX - edges.left) / edges.width, (event.clientY - edges.top) / edges.height);
    hovered(found?.key ?? null);
    tip.hidden = !found;
    if (!found) return;
    tip.textContent = found.text;
    const matte = tip.parentElement.getBoundingClientRect();
    tip.style.left = `${event.clientX - matte.left}px`;
    tip.style.top = `${event.clientY - matte.top}px`;
  });
  frame.addEventListener("pointerleave", () => {
    if (keyAt) hovered(null);
    tip.hidden = true;
  });

  /** Gives the picture with everything that lies over it, as PNG. */
  async function annotated() {
    const scale = Math.min(1, 4096 / Math.max(width, height));
    const canvas = element("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    if (picture.src) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    if (paint) {
      context.globalAlpha = Number(layer.style.opacity || 1);
      context.drawImage(layer, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = 1;
    }
    paintBoxes(context, boxes, scale);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  return { setPicture, clear, setBoxes, setLayer, raise, annotated, setOpacity: (value) => { layer.style.opacity = value; } };
})();
