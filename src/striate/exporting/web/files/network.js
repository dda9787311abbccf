// The network: ONNX Runtime from the page itself, and questions to it, one after the other.

let session = null, gradient = null;
let queue = Promise.resolve();

async function unpacked(name) {
  const holder = element(name), packed = new Blob([bytesOf(holder.textContent)]).stream();
  holder.remove();
  return new Uint8Array(await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

async function startNetwork() {
  const [code, wasm, network] = await Promise.all(["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm", "network.onnx"].map(unpacked));
  ort.env.wasm.wasmBinary = wasm.buffer;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([code], { type: "text/javascript" })) };
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.logLevel = "error";
  session = await ort.InferenceSession.create(network, { executionProviders: ["wasm"] });
  if (facts.evidence) gradient = await ort.InferenceSession.create(await unpacked("gradient.onnx"), { executionProviders: ["wasm"] });
}

// A session computes one question at a time.
function inTurn(question) {
  const answer = queue.then(question);
  queue = answer.catch(() => {});
  return answer;
}

// All outputs for one picture, uint8 (height, width, channels), of any size.
const answerTo = (pixels, height, width, channels) =>
  inTurn(() => session.run({ image: new ort.Tensor("uint8", pixels, [1, height, width, channels]) }));

// One output for several pictures of the network's size: an array of rows.
async function asked(pictures, output) {
  const all = new Uint8Array(pictures.length * pictures[0].length);
  pictures.forEach((picture, number) => all.set(picture, number * picture.length));
  const image = new ort.Tensor("uint8", all, [pictures.length, facts.height, facts.width, facts.channels]);
  const { data, dims } = (await inTurn(() => session.run({ image }, [output])))[output];
  return pictures.map((_, number) => data.slice(number * dims[1], (number + 1) * dims[1]));
}

async function gradientOf(maps, label) {
  const which = new Float32Array(facts.classes.length);
  which[label] = 1;
  const shape = facts.layers[facts.evidence.layer].shape;
  const feeds = { maps: new ort.Tensor("float32", maps, [1, ...shape]), which: new ort.Tensor("float32", which, [1, which.length]) };
  return (await inTurn(() => gradient.run(feeds))).weights.data;
}
