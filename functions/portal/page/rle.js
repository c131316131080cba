// Masks in COCO's compressed run lengths (pycocotools, maskApi.c: rleFrString): columns from left to right, each from
// top to bottom, runs outside and inside by turns. A run is a signed number in groups of 5 bits, the low ones first,
// as a difference to the run two before it from the fourth on.

/** Gives the lengths of the runs. */
function readRuns(text) {
  const runs = [];
  for (let at = 0; at < text.length; ) {
    let value = 0, shift = 0, group;
    do {
      group = text.charCodeAt(at++) - 48;
      value |= (group & 31) << shift;
      shift += 5;
    } while (group & 32);
    if (group & 16) value |= -1 << shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

/**
 * Gives a mask as rows of width x height bytes, 1 inside; each takes the mask's pixel under its middle. A screen
 * shows a million pixels, a photo may have a hundred.
 */
function readMask({ size: [rows, columns], counts }, width = columns, height = rows) {
  const runs = readRuns(counts);
  const mask = new Uint8Array(width * height);
  let run = 0, start = 0; // the run that a column begins in, and the pixel that the run begins at
  for (let x = 0; x < width; x++) {
    const top = Math.floor(((x + 0.5) * columns) / width) * rows;
    while (run < runs.length && start + runs[run] <= top) start += runs[run++];
    let from = start;
    for (let each = run; each < runs.length && from < top + rows; from += runs[each++]) {
      if (each % 2 === 0) continue;
      // Rows whose middle, floor((y + 0.5) * rows / height), lies in the run.
      const first = Math.max(0, Math.ceil(((from - top) * height) / rows - 0.5));
      const end = Math.min(height, Math.ceil(((from + runs[each] - top) * height) / rows - 0.5));
      for (let y = first; y < end; y++) mask[y * width + x] = 1;
    }
  }
  return mask;
}
