// Colours: of heat, and of classes.

// Every eighth colour of Matplotlib's inferno (van der Walt and Smith, CC0), as the service draws heat maps too: equal
// steps of heat look equal, also in gray and to the colour-blind.
const INFERNO = (
  "0000040403120b0724150b37210c4a2f0a5b3d09654a0c6b57106e64156e71196e7d1e6d8a226a972766a32c61b0315bbc3754c73e4c" +
  "d24644db503be45a31eb6628f1731df68013f98e09fb9d07fcac11fbbc21f9cb35f5db4cf2ea69f3f68afcffa4"
).match(/../g).map((digits) => parseInt(digits, 16));

/** Gives the colour of heat 0..1 as [red, green, blue], 0..255. */
function heatColor(heat) {
  const place = Math.min(1, Math.max(0, heat)) * 255 / 8; // the last step is of seven colours
  const from = Math.min(31, Math.floor(place));
  const share = (place - from) / (from === 31 ? 7 / 8 : 1);
  return [0, 1, 2].map((channel) => {
    const [low, high] = [INFERNO[from * 3 + channel], INFERNO[from * 3 + 3 + channel]];
    return Math.round(low + (high - low) * share);
  });
}

// Light enough for dark letters, far enough apart to be told from each other on a photo.
const CLASS_COLORS = [
  "#5cc8ff", "#ffd34e", "#ff94c8", "#6fe08c", "#ffab5e", "#d3a2ff", "#4fe0cf", "#ff8577", "#b8e356", "#9db2ff",
];

/** Gives a function from labels to colours, in the order in which labels come. */
function palette(labels) {
  const order = [...new Set(labels)];
  return (label) => CLASS_COLORS[order.indexOf(label) % CLASS_COLORS.length];
}

const channels = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
