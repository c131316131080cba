// Chains of operations as text, `resize:w=640|rotate:15`: what the quick controls read from it and write into it.

const isJson = (chain) => chain.trim().startsWith("[");

/** Gives the operations of a chain; none of one in JSON, which the controls leave alone. */
const operations = (chain) => (isJson(chain) ? [] : chain.split("|").map((each) => each.trim()).filter(Boolean));

/** Whether something in a chain is drawn by lot, from a seed. */
const isDrawn = (chain) => /random-|augment/.test(chain);

const nameOf = (operation) => operation.split(":")[0].trim();

/** Gives the chain with an operation in the place of the first of its name, or at the end; `null` takes it out. */
function withOperation(chain, name, operation) {
  const all = operations(chain);
  const at = all.findIndex((each) => nameOf(each) === name);
  if (operation === null) return (at < 0 ? all : all.toSpliced(at, 1)).join("|");
  return (at < 0 ? [...all, operation] : all.with(at, operation)).join("|");
}

/** Gives the chain with the very operation added at the end, or taken out where it is there. */
function toggled(chain, operation) {
  const all = operations(chain);
  return (all.includes(operation) ? all.filter((each) => each !== operation) : [...all, operation]).join("|");
}

/** Gives the number that the first operation of a name has as its argument, `rotate:15` or `rotate:degrees=15`. */
function argumentOf(chain, name, otherwise) {
  const operation = operations(chain).find((each) => nameOf(each) === name);
  const found = operation && /:(?:\w+=)?(-?\d+(?:\.\d+)?)/.exec(operation);
  return found ? Number(found[1]) : otherwise;
}
