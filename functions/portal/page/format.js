// Numbers as people read them.

const percent = (share, digits = 0) => `${(share * 100).toFixed(digits)}%`;

/** Scores of 0..1: whole percents, and one digit more where that would say 0% or 100% of what is neither. */
function score(value) {
  const rounded = Math.round(value * 100);
  return percent(value, (rounded === 0 && value > 0) || (rounded === 100 && value < 1) ? 1 : 0);
}

function bytes(count) {
  if (count < 1000) return `${count} bytes`;
  return count < 1e6 ? `${(count / 1000).toFixed(count < 1e4 ? 1 : 0)} KB` : `${(count / 1e6).toFixed(1).replace(".0", "")} MB`;
}

function milliseconds(value) {
  return value < 1000 ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

const many = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;

const size = (width, height) => `${width} \u00d7 ${height}`;

/** How many kinds a model tells apart: its labels without the background and without ids that have no class. */
function kindsOf({ labels, output, task }) {
  const count = labels.filter((label, number) => label !== "N/A" && number !== output.background).length;
  return many(count, ...(task === "classification" ? ["class", "classes"] : ["kind of object", "kinds of objects"]));
}

/** Where a model's weights come from, in a few words. */
function sourceOf(source = "") {
  const [, registry, name] = source.match(/^pkg:(pypi|npm)\/(.+)@/) ?? [];
  if (registry) return `${{ pypi: "PyPI", npm: "npm" }[registry]}, ${decodeURIComponent(name)}`;
  const [, repository] = source.match(/^https:\/\/raw\.githubusercontent\.com\/([^/]+\/[^/]+)\//) ?? [];
  return repository ? `GitHub, ${repository}` : source;
}

/** A file's name without its folder and its extension. */
const stem = (name) => name.replace(/^.*[\\/]/, "").replace(/\.[^.]+$/, "") || "photo";
