'use strict'
// The multi-layer perceptron: mlplab.nn.mlp, nn.activations and nn.losses, over a heap of float32.

const SQRT2 = Math.SQRT2
// erf to double precision: its series near zero, the continued fraction of erfc beyond.
function erf(x) {
  const a = Math.abs(x)
  if (a > 6) return Math.sign(x)
  if (a < 2.5) {
    let term = a, sum = a
    for (let k = 1; Math.abs(term) > 1e-17 * sum && k < 80; k++) { term *= -a * a / k; sum += term / (2 * k + 1) }
    return Math.sign(x) * 2 / Math.sqrt(Math.PI) * sum
  }
  let tail = 0
  for (let k = 60; k >= 1; k--) tail = k / 2 / (a + tail)
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + tail))
}
const sigmoid = z => 1 / (1 + Math.exp(-z))
const normalCdf = z => (1 + erf(z / SQRT2)) / 2

// The softened rate of a LIF neuron, mlplab.nn.activations.
const FAR_BELOW = -15
function lifRate(a) {
  return z => {
    const u = (a.resistance * z - 1) / a.softness, near = Math.max(u, FAR_BELOW), plus = near > 20 ? near : Math.log1p(Math.exp(near))
    return 1 / (a.tau_ref + a.resistance * (Math.log1p(1 / (a.softness * plus)) + (near - u)))
  }
}
function lifSlope(a) {
  return (z, h) => {
    const near = Math.max((a.resistance * z - 1) / a.softness, FAR_BELOW), plus = near > 20 ? near : Math.log1p(Math.exp(near))
    return (h * a.resistance) ** 2 * sigmoid(near) / plus / (a.softness * (1 + a.softness * plus))
  }
}

// Name: the function of z and its slope at (z, h), each made from the activation's arguments.
const ACTIVATIONS = {
  relu: [() => z => (z > 0 ? z : 0), () => (z, h) => (h > 0 ? 1 : 0)],
  leaky_relu: [a => z => (z > 0 ? z : a.negative_slope * z), a => z => (z > 0 ? 1 : a.negative_slope)],
  tanh: [() => Math.tanh, () => (z, h) => 1 - h * h],
  gelu: [() => z => z * normalCdf(z), () => z => normalCdf(z) + z * Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI)],
  silu: [() => z => z * sigmoid(z), () => z => { const s = sigmoid(z); return s * (1 + z * (1 - s)) }],
  elu: [a => z => (z > 0 ? z : a.alpha * Math.expm1(z)), a => z => (z > 0 ? 1 : a.alpha * Math.exp(z))],
  sigmoid: [() => sigmoid, () => (z, h) => h * (1 - h)],
  lif_rate: [lifRate, lifSlope],
  identity: [() => z => z, () => () => 1],
}
const ACTIVATION_ARGUMENTS = {
  leaky_relu: { negative_slope: 0.1 }, elu: { alpha: 1 }, lif_rate: { resistance: 10, tau_ref: 0.05, softness: 0.1 },
}

// One network's shape: {widths: [2, ..., C], activation: {name, ...arguments} or a list of such, dropout}.
class Shape {
  constructor(widths, activation = 'relu', dropout = 0) {
    this.widths = widths
    this.depth = widths.length - 2
    this.dropout = dropout
    // One a hidden layer: {name, value, slope}.
    this.activations = Array.from({ length: this.depth }, (_, l) => {
      const given = Array.isArray(activation) ? activation[l] : activation, { name, ...rest } = given?.name ? given : { name: given }
      if (!Object.hasOwn(ACTIVATIONS, name)) throw new RangeError(`no activation is called ${name}`)
      const own = { ...ACTIVATION_ARGUMENTS[name], ...rest }, [value, slope] = ACTIVATIONS[name].map(make => make(own))
      return { name, value, slope }
    })
    this.layers = []
    this.size = 0
    for (let l = 0; l + 1 < widths.length; l++) {
      const [nin, nout] = [widths[l], widths[l + 1]]
      this.layers.push({ nin, nout, w: this.size, b: this.size + nin * nout })
      this.size += nin * nout + nout
    }
  }
  // Floats that a forward (and backward) pass over n points needs.
  room(n, backward = true) { return (backward ? 3 : 2) * padded(n) * this.widths.reduce((a, b) => a + b, 0) + 64 }
}

const key = (shape, l) => `layers.${l * (shape.dropout ? 3 : 2)}`
// Weights by the names of mlplab's state_dict, nested lists as torch prints them; and back.
function toState(shape, theta) {
  const state = {}
  shape.layers.forEach(({ nin, nout, w, b }, l) => {
    state[`${key(shape, l)}.weight`] = Array.from({ length: nout }, (_, j) => Array.from(theta.subarray(w + j * nin, w + (j + 1) * nin)))
    state[`${key(shape, l)}.bias`] = Array.from(theta.subarray(b, b + nout))
  })
  return state
}
function fromState(state) {
  const number = name => +name.split('.').at(-2)
  const names = Object.keys(state).filter(name => /(^|\.)layers\.\d+\.weight$/.test(name)).sort((a, b) => number(a) - number(b))
  if (!names.length) throw new RangeError('the file holds no layers.0.weight: it is no network of the lab')
  const layers = names.map(name => [state[name], state[name.replace(/weight$/, 'bias')]])
  const widths = [layers[0][0][0].length, ...layers.map(([w]) => w.length)], theta = []
  layers.forEach(([w, b], l) => {
    if (!Array.isArray(b) || b.length !== w.length || w.some(row => row.length !== widths[l])) throw new RangeError('the layers of the file do not fit each other')
    for (const row of w) theta.push(...row)
    theta.push(...b)
  })
  if (!theta.every(Number.isFinite)) throw new RangeError('the file holds weights that are no numbers')
  return { widths, theta: Float32Array.from(theta) }
}

// The lab's initial weights for a seed: torch.nn.Linear's, Kaiming's or Xavier's.
function initialWeights(shape, seed, initialization = 'default') {
  const stream = new Generator(seed), theta = new Float32Array(shape.size), round = Math.fround
  const uniform = (from, count, bound) => {
    const low = round(-bound), range = round(round(bound) - low)
    for (let k = 0; k < count; k++) theta[from + k] = stream.uniform() * range + low
  }
  for (const { nin, nout, w, b } of shape.layers) {
    if (initialization === 'kaiming') theta.set(stream.normal(nin * nout).map(v => v * Math.sqrt(2 / nin)), w)
    else if (initialization === 'xavier') uniform(w, nin * nout, Math.sqrt(6 / (nin + nout)))
    else { uniform(w, nin * nout, 1 / Math.sqrt(nin)); uniform(b, nout, 1 / Math.sqrt(nin)) }
  }
  return theta
}

// Room for passes of one shape over n points: what stands where in the heap.
class Pass {
  constructor(heap, shape, n, backward = true) {
    Object.assign(this, { heap, shape, n, width: padded(n) })
    const rows = count => heap.take(count * this.width)
    this.x = rows(shape.widths[0])
    this.z = shape.layers.map(layer => rows(layer.nout)) // before the activation; logits last
    this.h = shape.layers.slice(0, -1).map(layer => rows(layer.nout))
    if (!backward) return
    this.d = shape.layers.map(layer => rows(layer.nout)) // gradient at z
    this.ones = heap.take(this.width)
    heap.f.fill(1, this.ones, this.ones + n)
  }
  // Copy points given as rows (all first coordinates, then all second ones), `from` of `total` on.
  load(x, total = this.n, from = 0) {
    for (let k = 0; k < this.shape.widths[0]; k++) this.heap.f.set(x.subarray(k * total + from, k * total + from + this.n), this.x + k * this.width)
  }
  // Logits of theta at the loaded points: rows of `width` at z.at(-1). drop: a Generator to draw dropout from.
  forward(theta, drop = null) {
    const { heap: { f }, shape, width } = this
    let input = this.x
    shape.layers.forEach(({ nin, nout, w, b }, l) => {
      this.heap.affine(theta + w, nin, 1, theta + b, input, this.z[l], nin, nout, width)
      if (l === shape.depth) return
      const z = this.z[l], h = input = this.h[l], size = nout * width, { name, value } = shape.activations[l]
      if (name === 'relu') for (let k = 0; k < size; k++) { const v = f[z + k]; f[h + k] = v > 0 ? v : 0 }
      else for (let k = 0; k < size; k++) f[h + k] = value(f[z + k])
      if (drop && shape.dropout) {
        const keep = 1 / (1 - shape.dropout)
        // A dropped unit's z says so to the way back: no activation gives NaN for a number.
        for (let k = 0; k < size; k++) if (drop() < shape.dropout) { f[h + k] = 0; f[z + k] = NaN } else f[h + k] *= keep
      }
    })
    return this.z[shape.depth]
  }
  // The gradient of the mean cross entropy over the first `count` points, into `gradient`; returns [loss, hits].
  backward(theta, gradient, labels, count = this.n) {
    const { heap, heap: { f }, shape, width } = this, last = shape.depth, K = shape.widths.at(-1)
    const [loss, hits] = crossEntropy(f, this.z[last], this.d[last], labels, width, count, K)
    const keep = 1 / (1 - shape.dropout)
    for (let l = last; l >= 0; l--) {
      const { nin, nout, w, b } = shape.layers[l], d = this.d[l]
      heap.outer(d, l ? this.h[l - 1] : this.x, gradient + w, nin, nout, width)
      heap.outer(d, this.ones, gradient + b, 1, nout, width)
      if (!l) break
      const z = this.z[l - 1], h = this.h[l - 1], to = this.d[l - 1], size = nin * width, { name, slope } = shape.activations[l - 1]
      heap.affine(theta + w, 1, nin, -1, d, to, nout, nin, width)
      if (name === 'relu' && !shape.dropout) for (let k = 0; k < size; k++) { if (!(f[z + k] > 0)) f[to + k] = 0 }
      else if (!shape.dropout) for (let k = 0; k < size; k++) f[to + k] *= slope(f[z + k], f[h + k])
      else for (let k = 0; k < size; k++) f[to + k] = f[z + k] === f[z + k] ? f[to + k] * keep * slope(f[z + k], f[h + k] / keep) : 0
    }
    return [loss, hits]
  }
}

// Mean cross entropy, exact for large margins, and its gradient at the logits; padding gets gradient 0.
function crossEntropy(f, z, d, labels, width, count, K) {
  let loss = 0, hits = 0
  for (let p = 0; p < width; p++) {
    if (p >= count) { for (let k = 0; k < K; k++) f[d + k * width + p] = 0; continue }
    let best = 0
    for (let k = 1; k < K; k++) if (f[z + k * width + p] > f[z + best * width + p]) best = k
    const top = f[z + best * width + p]
    let rest = 0
    for (let k = 0; k < K; k++) if (k !== best) rest += f[d + k * width + p] = Math.exp(f[z + k * width + p] - top)
    f[d + best * width + p] = 1
    const label = labels[p], share = 1 / (1 + rest) / count
    for (let k = 0; k < K; k++) f[d + k * width + p] = f[d + k * width + p] * share - (k === label ? 1 / count : 0)
    loss += Math.log1p(rest) + (top - f[z + label * width + p])
    hits += best === label
  }
  return [loss / count, hits]
}

// Probabilities (class after class, n each) from the logits of a pass.
function softmaxRows(pass, out = new Float32Array(pass.shape.widths.at(-1) * pass.n)) {
  const { heap: { f }, shape, width, n } = pass, z = pass.z[shape.depth], K = shape.widths.at(-1)
  for (let p = 0; p < n; p++) {
    let top = -Infinity, sum = 0
    for (let k = 0; k < K; k++) top = Math.max(top, f[z + k * width + p])
    for (let k = 0; k < K; k++) sum += out[k * n + p] = Math.exp(f[z + k * width + p] - top)
    for (let k = 0; k < K; k++) out[k * n + p] /= sum
  }
  return out
}
