// Boxes, masks and heat as shapes and pixels.

/** Gives a box with its label, in CSS pixels of the frame; `fitLabel` does the rest once it stands in the page. */
function boxShape({ key, box, color, text }, across, down, room) {
  const [x, y] = [box.xmin * across, box.ymin * down];
  const outline = { x, y, width: Math.max(1, (box.xmax - box.xmin) * across), height: Math.max(1, (box.ymax - box.ymin) * down), rx: 3 };
  const group = shape(
    "g", { class: "box", "data-key": key, "data-room": room },
    shape("rect", { class: "halo", ...outline }),
    shape("rect", { class: "outline", stroke: color, fill: color, ...outline }),
  );
  if (text) {
    group.append(shape("rect", { class: "tag", fill: color, rx: 3 }), shape("text", { x: x + 6, y: y > 22 ? y - 7 : y + 15 }, text));
  }
  return group;
}

/** Puts the ground under a label, and moves both into the picture where they would stick out. */
function fitLabel(group) {
  const text = group.querySelector("text");
  if (!text) return;
  const wide = text.getComputedTextLength() + 12;
  const left = Math.max(0, Math.min(Number(text.getAttribute("x")) - 6, Number(group.dataset.room) - wide));
  text.setAttribute("x", left + 6);
  fill(group.querySelector(".tag"), { x: left, y: Number(text.getAttribute("y")) - 14, width: wide, height: 20 }, []);
}

/** The same on a canvas, for the picture to save. */
function paintBoxes(context, boxes, scale) {
  const { width, height } = context.canvas;
  const line = Math.max(2, Math.round(Math.max(width, height) / 400));
  const letters = Math.max(12, Math.round(Math.max(width, height) / 60));
  context.font = `600 ${letters}px system-ui, sans-serif`;
  context.lineWidth = line;
  for (const { box, color, text } of boxes) {
    const [x, y] = [box.xmin * scale, box.ymin * scale];
    context.strokeStyle = color;
    context.strokeRect(x, y, (box.xmax - box.xmin) * scale, (box.ymax - box.ymin) * scale);
    if (!text) continue;
    const wide = context.measureText(text).width + letters, high = letters * 1.5;
    const left = Math.max(0, Math.min(x - line / 2, width - wide)), top = y > high ? y - high : y;
    context.fillStyle = color;
    context.fillRect(left, top, wide, high);
    context.fillStyle = "#0b1211";
    context.fillText(text, left + letters / 2, top + letters * 1.1);
  }
}

const INSIDE = 140, EDGE = 255; // alpha of a mask: the photo shows through, its outline is sharp

/** Gives the canvas of one mask in its colour, and the mask itself. */
function maskLayer(mask, color, width, height) {
  const inside = readMask(mask, width, height);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const [red, green, blue] = channels(color);
  const paint = (alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0; // little-endian RGBA
  const [soft, hard] = [paint(INSIDE), paint(EDGE)];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (!inside[at]) continue;
      const isEdge = (x > 0 && !inside[at - 1]) || (x + 1 < width && !inside[at + 1])
        || (y > 0 && !inside[at - width]) || (y + 1 < height && !inside[at + width]);
      pixels[at] = isEdge ? hard : soft;
    }
  }
  const canvas = element("canvas", { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return { inside, canvas };
}

/** Gives the heat of a map as a canvas of one pixel a cell; what is hotter covers more of the photo. */
function heatLayer({ size: [rows, columns], values }) {
  const image = new ImageData(columns, rows);
  values.flat().forEach((heat, at) => image.data.set([...heatColor(heat), Math.round(90 + 165 * heat)], at * 4));
  const canvas = element("canvas", { width: columns, height: rows });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
