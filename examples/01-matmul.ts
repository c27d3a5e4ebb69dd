// 01-matmul.ts — a tensor, a product, its gradient, its time.
//
// Teaches  tensors are lazy, gradients are tensors, a compiled function is a plan that is replayed
// Needs    any WebGPU adapter (npm start brings a software one where there is none)
// Takes    2 s on a software adapter
// Expect   55 GFLOP/s on a software adapter (lavapipe on two cores, nothing else running), an error below 1e-3
import { compile, getDefaultDevice, grad, Random, tensor } from "forge-gpu/engine";

const device = await getDefaultDevice();
console.log(`adapter    ${device.name}${device.isSoftware ? " (software)" : ""}\n`);

// A tensor is a description. Nothing runs before somebody reads a value.
const a = tensor([
  [1, 2, 3],
  [4, 5, 6],
]);
const b = tensor([
  [1, 0],
  [0, 1],
  [1, 1],
]);
const c = a.matmul(b);
console.log(`a · b      ${c}`);
console.log(`         = [${await c.read()}]`);

// A gradient is a tensor like any other: d(Σ c²)/da = 2c · bᵀ.
const [da] = grad(c.square().sum(), [a]);
console.log(`d Σc²/da = [${await da?.read()}]\n`);

// A function that is called again and again is compiled: traced once for each shape, then only replayed.
const size = 1024;
const random = new Random(0);
const draw = (): Float32Array => Float32Array.from({ length: size * size }, () => random.normal());
const [x, y] = [draw(), draw()];
const product = compile((p: typeof a, q: typeof a) => p.matmul(q), { label: "product" });
const inputs = [tensor(x, [size, size]), tensor(y, [size, size])] as const;

const first = performance.now();
const z = await (await product(...inputs)).read();
const firstMs = performance.now() - first;

// Never trust a fast product: one row of it, again in f64.
let error = 0;
for (let column = 0; column < size; column++) {
  let sum = 0;
  for (let k = 0; k < size; k++) sum += (x[k] as number) * (y[k * size + column] as number);
  error = Math.max(error, Math.abs(sum - (z[column] as number)));
}

// The first call compiled and uploaded. What follows is the kernel alone, by the adapter's own clock where it has one.
const plan = await product.plan(...inputs);
const times: number[] = [];
for (let n = 0; n < 5; n++) {
  const start = performance.now();
  const kernels = device.hasTimestamps ? await plan.profile() : undefined;
  if (!kernels) await (await product(...inputs)).slice(0, 0, 1).read();
  times.push(kernels?.reduce((ms, kernel) => ms + kernel.ms, 0) ?? performance.now() - start);
}
const ms = times.sort((p, q) => p - q)[2] as number;
const gflops = (2 * size ** 3) / ms / 1e6;
console.log(
  `${size}³      ${ms.toFixed(2)} ms, ${gflops.toFixed(1)} GFLOP/s (median of ${times.length})`,
);
console.log(`error      ${error.toExponential(1)} at most in one row, against f64`);
console.log(`first call ${firstMs.toFixed(0)} ms, compiling and copying included`);
console.log(`\n${plan.describe()}`);

device[Symbol.dispose]();
