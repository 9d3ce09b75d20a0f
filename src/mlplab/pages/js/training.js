'use strict'
// Optimisers as torch defines them, the lab's schedules, and one network's training, step by step.

const ADAM = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0 }
// Name: [defaults, step(f, theta, gradient, first moment, second moment, size, settings, lr, step from 0)].
const OPTIMIZERS = {
  adam: [ADAM, (...args) => adam(false, ...args)],
  adamw: [{ ...ADAM, weight_decay: 0.01 }, (...args) => adam(true, ...args)],
  sgd: [{ lr: 0.1, momentum: 0, nesterov: false, weight_decay: 0 }, sgd],
}
function adam(decoupled, f, theta, gradient, m, v, size, { betas: [b1, b2], eps, weight_decay }, lr, step) {
  const c1 = 1 - b1 ** (step + 1), root = Math.sqrt(1 - b2 ** (step + 1)), rate = lr / c1
  for (let k = 0; k < size; k++) {
    let g = f[gradient + k], value = f[theta + k]
    if (decoupled) value *= 1 - lr * weight_decay
    else g += weight_decay * value
    const first = f[m + k] = b1 * f[m + k] + (1 - b1) * g
    const second = f[v + k] = b2 * f[v + k] + (1 - b2) * g * g
    f[theta + k] = value - rate * first / (Math.sqrt(second) / root + eps)
  }
}
function sgd(f, theta, gradient, m, v, size, { momentum, nesterov, weight_decay }, lr, step) {
  for (let k = 0; k < size; k++) {
    let g = f[gradient + k] + weight_decay * f[theta + k]
    if (momentum) {
      const kept = f[m + k] = step ? momentum * f[m + k] + g : g
      g = nesterov ? g + momentum * kept : kept
    }
    f[theta + k] -= lr * g
  }
}

const half = (from, to, progress) => to + (from - to) * (1 + Math.cos(Math.PI * progress)) / 2
// Name: [defaults, factor(settings, step from 0, steps, steps of an epoch)].
const SCHEDULES = {
  constant: [{}, () => 1],
  cosine: [{ final_fraction: 0, warmup_epochs: 0 }, (s, step, steps, epoch) => {
    const warmup = Math.min(Math.round(s.warmup_epochs * epoch), steps)
    return step < warmup ? (step + 1) / warmup : half(1, s.final_fraction, (step - warmup) / Math.max(1, steps - warmup))
  }],
  one_cycle: [{ warmup_fraction: 0.3, initial_fraction: 0.04, final_fraction: 4e-6 }, (s, step, steps) => {
    const peak = s.warmup_fraction * steps - 1
    if (step <= peak) return half(s.initial_fraction, 1, peak > 0 ? step / peak : 1)
    return half(1, s.final_fraction, Math.min(1, (step - peak) / Math.max(1e-12, steps - 1 - peak)))
  }],
  step: [{ every_epochs: 30, factor: 0.1 }, (s, step, steps, epoch) => s.factor ** Math.floor(Math.floor(step / Math.max(1, epoch)) / s.every_epochs)],
}

const hiddenOf = model => model.hidden ?? Array(model.depth).fill(model.width)

// One network being trained. settings: {seed, data, model, optimizer, schedule, max_epochs}, data: its parts.
class Member {
  constructor(heap, settings, data, passes) {
    this.settings = settings
    this.data = data
    this.shape = new Shape([2, ...hiddenOf(settings.model), classesOf(settings.data)], settings.model.activation, settings.model.dropout)
    const rows = [0, 1, 2, 3].map(() => heap.take(this.shape.size))
    ;[this.theta, this.gradient, this.first, this.second] = rows
    this.heap = heap
    const batch = Math.min(settings.data.batch_size, data.train.count)
    this.batch = batch
    this.perEpoch = settings.data.drop_last ? Math.floor(data.train.count / batch) : Math.ceil(data.train.count / batch)
    this.passes = passes
    this.labels = new Int32Array(batch)
    const [defaults, update] = OPTIMIZERS[settings.optimizer.name]
    this.optimizer = { ...defaults, ...settings.optimizer }
    this.update = update
    const [scheduleDefaults, factor] = SCHEDULES[settings.schedule.name]
    this.factor = step => factor({ ...scheduleDefaults, ...settings.schedule }, step, settings.max_epochs * this.perEpoch, this.perEpoch)
    this.begin()
  }
  static floats(settings) {
    const shape = new Shape([2, ...hiddenOf(settings.model), classesOf(settings.data)])
    return 4 * (shape.size + 4)
  }
  begin(theta = null) {
    const { seed, model } = this.settings, { f } = this.heap, { size } = this.shape
    f.set(theta ?? initialWeights(this.shape, model.init_seed ?? derive(seed, 'weights'), model.initialization), this.theta)
    f.fill(0, this.first, this.first + size)
    f.fill(0, this.second, this.second + size)
    this.step = this.epoch = 0
    this.order = null
    this.lossSum = this.hitSum = this.seen = 0
    this.history = []
    this.best = { epoch: -1, nll: Infinity, theta: null }
    this.diverged = false
  }
  weights() { return this.heap.f.slice(this.theta, this.theta + this.shape.size) }
  // One optimiser step; true where it ended an epoch.
  advance() {
    const { heap: { f }, batch, data: { train } } = this, at = this.step % this.perEpoch
    if (at === 0 || !this.order) {
      this.order = new Generator(derive(this.settings.data.order_seed ?? this.settings.seed, 'order', this.epoch)).permutation(train.count)
      this.drop = this.shape.dropout ? xorshift(derive(this.settings.seed, 'dropout', this.epoch)) : null
    }
    const count = Math.min(batch, train.count - at * batch), pass = this.passes(this.shape, batch)
    for (let p = 0; p < count; p++) {
      const from = this.order[at * batch + p]
      f[pass.x + p] = train.x[from]
      f[pass.x + pass.width + p] = train.x[train.count + from]
      this.labels[p] = train.y[from]
    }
    pass.forward(this.theta, this.drop)
    const [loss, hits] = pass.backward(this.theta, this.gradient, this.labels, count)
    this.update(f, this.theta, this.gradient, this.first, this.second, this.shape.size, this.optimizer, this.optimizer.lr * this.factor(this.step), this.step)
    this.step++
    this.lossSum += loss * count; this.hitSum += hits; this.seen += count
    if (!Number.isFinite(loss)) this.diverged = true
    if (at + 1 < this.perEpoch) return false
    this.epoch++
    return true
  }
  // Loss and accuracy of the weights at `theta` on some points.
  measure(points, theta = this.theta) {
    const piece = 512
    let loss = 0, hits = 0
    for (let from = 0; from < points.count; from += piece) {
      const count = Math.min(piece, points.count - from), pass = this.passes(this.shape, piece)
      const { f } = this.heap
      for (const row of [0, 1]) f.set(points.x.subarray(row * points.count + from, row * points.count + from + count), pass.x + row * pass.width)
      pass.forward(theta)
      const [part, right] = crossEntropy(f, pass.z[this.shape.depth], pass.d[this.shape.depth], points.y.subarray(from, from + count), pass.width, count, this.shape.widths.at(-1))
      loss += part * count; hits += right
    }
    return { nll: loss / points.count, accuracy: hits / points.count }
  }
  // Close an epoch: its row of the history, and the best state by NLL on validation points.
  close() {
    const row = { epoch: this.epoch, loss: this.lossSum / this.seen, accuracy: this.hitSum / this.seen }
    this.lossSum = this.hitSum = this.seen = 0
    if (this.data.validation?.count) {
      row.validation = this.measure(this.data.validation)
      if (!Number.isFinite(row.validation.nll)) this.diverged = true
      if (row.validation.nll < this.best.nll) this.best = { epoch: this.epoch, nll: row.validation.nll, theta: this.weights() }
    }
    this.history.push(row)
    return row
  }
}

// Fast uniform numbers for dropout, whose stream is the page's own.
function xorshift(seed) {
  let s = seed || 1
  return () => { s ^= s << 13; s ^= s >>> 17; s ^= s << 5; return (s >>> 0) / 2 ** 32 }
}

// Passes shared by all members of one shape and number of points.
function sharedPasses(heap) {
  const made = new Map()
  return (shape, n) => {
    const name = `${shape.widths}|${n}`
    let pass = made.get(name)
    if (!pass) made.set(name, pass = new Pass(heap, shape, n))
    pass.shape = shape
    return pass
  }
}
