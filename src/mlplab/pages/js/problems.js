'use strict'
// The lab's data sets and their exact densities: mlplab.data.datasets, densities and bayes.

const PROBLEMS = {
  spiral: { points: 'points_per_arm', classes: 'arms', noise: 0.16 },
  circles: { points: 'points_per_class', classes: 'classes', noise: 0.1 },
  moons: { points: 'points_per_class', noise: 0.2 },
  xor: { points: 'points_per_class', noise: 0.35 },
  blobs: { points: 'points_per_class', classes: 'classes', noise: 0.4 },
}
const SMALLEST_NOISE = 1e-3
const classesOf = data => (data.name === 'own' ? data.own.classes : PROBLEMS[data.name].classes ? data.classes : 2)

// Points in two rows, all first coordinates and then all second ones, as the network reads them.
function pointsFrom(list) {
  const count = list.length, x = new Float32Array(2 * count), y = new Int32Array(count)
  list.forEach(([a, b, label], k) => { x[k] = a; x[count + k] = b; y[k] = label })
  return { count, x, y }
}

const linspace = (low, high, count) => k =>
  count === 1 ? low : k < count / 2 ? low + (high - low) / (count - 1) * k : high - (high - low) / (count - 1) * (count - k - 1)

// counts[k] points of each class k, afresh without a point at the end of an arm: data is {name, classes, noise, t_min, t_max, rotation_degrees}.
function samplePoints(data, counts, stream, afresh = false) {
  const list = [], round = Math.fround, K = counts.length, noise = data.noise
  const scattered = (k, count, centre) => {
    const e = stream.normal(2 * count)
    for (let j = 0; j < count; j++) {
      const [a, b] = centre(j)
      list.push([round(a) + round(noise * e[2 * j]), round(b) + round(noise * e[2 * j + 1]), k])
    }
  }
  counts.forEach((count, k) => {
    if (data.name === 'spiral') {
      const along = linspace(data.t_min, data.t_max, count), inside = (data.t_max - data.t_min) / Math.max(count, 1)
      const t = afresh ? j => data.t_min + inside * (j + 0.5) : along, first = stream.normal(count), second = stream.normal(count)
      for (let j = 0; j < count; j++) {
        const angle = 2 * Math.PI / K * (2 * t(j) + k)
        list.push([t(j) * (Math.sin(angle) + noise * first[j]), t(j) * (Math.cos(angle) + noise * second[j]), k])
      }
    } else if (data.name === 'circles') {
      scattered(k, count, j => [Math.cos, Math.sin].map(f => (k + 1) / K * f(2 * Math.PI / Math.max(count, 1) * j)))
    } else if (data.name === 'moons') {
      const angle = linspace(0, Math.PI, count), sign = 1 - 2 * k
      scattered(k, count, j => [sign * (Math.cos(angle(j)) - 0.5), sign * (Math.sin(angle(j)) - 0.25)])
    } else if (data.name === 'xor') {
      scattered(k, count, j => [1 - 2 * (j % 2), (1 - 2 * (j % 2)) * (1 - 2 * k)])
    } else {
      scattered(k, count, () => [Math.cos(2 * Math.PI * k / K), Math.sin(2 * Math.PI * k / K)])
    }
  })
  const turn = (data.name === 'spiral' && data.rotation_degrees || 0) * Math.PI / 180
  if (turn) for (const p of list) [p[0], p[1]] = [p[0] * Math.cos(turn) - p[1] * Math.sin(turn), p[0] * Math.sin(turn) + p[1] * Math.cos(turn)]
  return pointsFrom(list)
}

function pick({ count, x, y }, places) {
  const out = { count: places.length, x: new Float32Array(2 * places.length), y: new Int32Array(places.length) }
  places.forEach((from, k) => { out.x[k] = x[from]; out.x[out.count + k] = x[count + from]; out.y[k] = y[from] })
  return out
}
const spread = (count, classes) => Array.from({ length: classes }, (_, k) => Math.floor(count / classes) + (k < count % classes))

// The four parts of a data module: {train, validation, test, fresh}, each {count, x, y}.
function parts(data, freshPoints = data.fresh_points) {
  const K = classesOf(data), seed = data.seed, own = data.name === 'own'
  const all = own ? pointsFrom(data.own.points) : samplePoints(data, Array(K).fill(data.points), new Generator(derive(seed, 'points')))
  const order = new Generator(derive(seed, 'split')).permutation(all.count), cut = Math.floor(data.test_fraction * all.count)
  if (own) {
    const held = Math.floor(0.2 * all.count), rest = order.subarray(cut)
    return { train: pick(all, rest.subarray(held)), validation: pick(all, rest.subarray(0, held)), test: pick(all, order.subarray(0, cut)), fresh: null }
  }
  const afresh = (label, count) => count ? samplePoints(data, spread(count, K), new Generator(derive(seed, label)), true) : null
  return {
    train: pick(all, order.subarray(cut)), test: pick(all, order.subarray(0, cut)),
    validation: afresh('validation', data.validation_points), fresh: afresh('fresh', freshPoints),
  }
}

// Nodes and weights of Gauss and Legendre with 16 nodes, by Newton's method.
function gaussLegendre(n = 16) {
  const nodes = [], weights = []
  for (let k = n; k >= 1; k--) {
    let x = Math.cos(Math.PI * (k - 0.25) / (n + 0.5)), slope = 1
    for (let turn = 0; turn < 20; turn++) {
      let p = 1, before = 0
      for (let j = 1; j <= n; j++) [p, before] = [((2 * j - 1) * x * p - (j - 1) * before) / j, p]
      slope = n * (x * p - before) / (x * x - 1)
      x -= p / slope
    }
    nodes.push(x)
    weights.push(2 / ((1 - x * x) * slope * slope))
  }
  return { nodes, weights }
}

// densities._quadrature: panels from low to high, each at most width(u) wide.
function quadrature(low, high, width, endWidth, gradeLow) {
  let edges = [high], step = endWidth
  while (edges.at(-1) > low) { step = Math.min(2 * step, width(edges.at(-1))); edges.push(edges.at(-1) - step) }
  edges[edges.length - 1] = low
  if (gradeLow) {
    const first = edges.at(-2), cuts = []
    for (let k = 0; k < 60; k++) if (low + endWidth * 2 ** k < first) cuts.push(low + endWidth * 2 ** k)
    edges.splice(edges.length - 1, 1, ...cuts.reverse(), low)
  }
  edges.reverse()
  const rule = gaussLegendre(), u = [], weight = []
  for (let k = 0; k + 1 < edges.length; k++) {
    const half = (edges[k + 1] - edges[k]) / 2, middle = (edges[k + 1] + edges[k]) / 2
    rule.nodes.forEach((node, j) => { u.push(middle + half * node); weight.push(half * rule.weights[j]) })
  }
  return { u, weight }
}

// A class's mixture of round Gaussians: {x, y, scale, weight} lists, weights summing to 1. null: unknown.
function density(data) {
  const { name, noise } = data, K = classesOf(data)
  if (name === 'own' || !(noise >= SMALLEST_NOISE)) return null
  const mixture = (means, scales, weights) => {
    const total = weights.reduce((a, b) => a + b, 0)
    return means.map(list => ({ means: list, scales, logWeights: weights.map(w => Math.log(w / total)) }))
  }
  const each = f => Array.from({ length: K }, (_, k) => f(k)), range = n => [...Array(n).keys()]
  if (name === 'spiral') {
    const { t_min: from, t_max: to } = data
    if (to === 0) return null
    let t = [to], weight = [1]
    if (from < to) {
      const turn = 4 * Math.PI / K, low = Math.max(from, 1e-9 * to)
      const rule = quadrature(Math.log(low), Math.log(to), u => Math.min(5 * noise / Math.hypot(1, turn * Math.exp(u)), 1),
        noise ** 2 / (12 * (1 + turn * to)), from > 0)
      t = rule.u.map(Math.exp)
      weight = rule.weight.map((w, k) => w * t[k])
    }
    const spin = (data.rotation_degrees || 0) * Math.PI / 180
    const means = each(k => t.map(v => {
      const angle = 2 * Math.PI / K * (2 * v + k) - spin
      return [v * Math.sin(angle), v * Math.cos(angle)]
    }))
    return mixture(means, t.map(v => noise * v), weight)
  }
  if (name === 'circles') {
    const n = 16 + Math.ceil(20 / noise)
    return mixture(each(k => range(n).map(j => [Math.cos, Math.sin].map(f => (k + 1) / K * f(2 * Math.PI * j / n)))),
      Array(n).fill(noise), Array(n).fill(1))
  }
  if (name === 'moons') {
    const rule = quadrature(0, Math.PI, () => Math.min(5 * noise, 1), noise ** 2 / 12, true)
    const means = [0, 1].map(k => rule.u.map(a => [(1 - 2 * k) * (Math.cos(a) - 0.5), (1 - 2 * k) * (Math.sin(a) - 0.25)]))
    return mixture(means, rule.u.map(() => noise), rule.weight)
  }
  if (name === 'xor') return mixture([[[1, 1], [-1, -1]], [[1, -1], [-1, 1]]], [noise, noise], [1, 1])
  return mixture(each(k => [[Math.cos(2 * Math.PI * k / K), Math.sin(2 * Math.PI * k / K)]]), [noise], [1])
}

// Log posterior of each class, class after class: Float64Array of K rows of count values.
function logPosterior(x, count, classes) {
  const K = classes.length, out = new Float64Array(K * count), exponents = new Float64Array(Math.max(...classes.map(c => c.means.length)))
  classes.forEach(({ means, scales, logWeights }, k) => {
    const M = means.length, a = Float64Array.from(means, m => m[0]), b = Float64Array.from(means, m => m[1])
    const precision = Float64Array.from(scales, s => -0.5 / (s * s)), height = Float64Array.from(scales, (s, m) => logWeights[m] - 2 * Math.log(s))
    for (let j = 0; j < count; j++) {
      const u = x[j], v = x[count + j]
      let top = -Infinity, sum = 0
      for (let m = 0; m < M; m++) {
        const du = u - a[m], dv = v - b[m], value = height[m] + precision[m] * (du * du + dv * dv)
        exponents[m] = value
        if (value > top) top = value
      }
      for (let m = 0; m < M; m++) if (exponents[m] > top - 45) sum += Math.exp(exponents[m] - top)
      out[k * count + j] = top + Math.log(sum)
    }
  })
  for (let j = 0; j < count; j++) {
    let top = -Infinity, sum = 0
    for (let k = 0; k < K; k++) top = Math.max(top, out[k * count + j])
    for (let k = 0; k < K; k++) sum += Math.exp(out[k * count + j] - top)
    for (let k = 0; k < K; k++) out[k * count + j] -= top + Math.log(sum)
  }
  return out
}

// Accuracy and mean negative log likelihood of log probabilities given class after class.
function scoreOf(logProbabilities, { count, y }, classes) {
  let right = 0, nll = 0
  for (let j = 0; j < count; j++) {
    let best = 0
    for (let k = 1; k < classes; k++) if (logProbabilities[k * count + j] > logProbabilities[best * count + j]) best = k
    right += best === y[j]
    nll -= logProbabilities[y[j] * count + j]
  }
  return { accuracy: right / count, nll: nll / count }
}

// The centres of a picture's pixels, bottom row first as mlplab.training.plane has them: extent [left, right, bottom, top].
function grid(resolution, [left, right, bottom, top]) {
  const count = resolution * resolution, x = new Float32Array(2 * count)
  for (let row = 0; row < resolution; row++) for (let column = 0; column < resolution; column++) {
    const at = row * resolution + column
    x[at] = (left + right) / 2 + (2 * column + 1 - resolution) * ((right - left) / 2 / resolution)
    x[count + at] = (bottom + top) / 2 + (2 * row + 1 - resolution) * ((top - bottom) / 2 / resolution)
  }
  return { count, x }
}
