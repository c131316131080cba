// Runs the part of a graph model between an input and outputs: FOLDER INPUT HEIGHT WIDTH OUTPUT...
// Reads FOLDER/image, float32 [1, HEIGHT, WIDTH, 3], and writes FOLDER/output_0, output_1, ...
const fs = require("fs");
const path = require("path");
const tf = require("@tensorflow/tfjs-core");
require("@tensorflow/tfjs-backend-cpu");
const { loadGraphModel } = require("@tensorflow/tfjs-converter");

async function main([folder, input, height, width, ...outputs]) {
  const read = (name) => fs.readFileSync(path.join(folder, name));
  const { modelTopology, weightsManifest } = JSON.parse(read("model.json"));
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const weightData = Uint8Array.from(Buffer.concat(weightsManifest.flatMap((group) => group.paths).map(read))).buffer;
  const model = await loadGraphModel({ load: async () => ({ modelTopology, weightSpecs, weightData }) });
  const pixels = new Float32Array(Uint8Array.from(read("image")).buffer);
  const answers = model.execute({ [input]: tf.tensor(pixels, [1, Number(height), Number(width), 3]) }, outputs);
  [answers].flat().forEach((answer, number) => {
    fs.writeFileSync(path.join(folder, `output_${number}`), Buffer.from(Float32Array.from(answer.dataSync()).buffer));
  });
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
