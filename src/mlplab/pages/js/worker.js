'use strict'
// The engine's side of the playground: trains all networks in turn, and paints maps as they change.

let job = null // what is trained now
const channel = new MessageChannel()
let waiting = false
const later = () => { if (!waiting) { waiting = true; channel.port2.postMessage(0) } }
channel.port1.onmessage = () => { waiting = false; turn() }

// Steps of each network a second.
const SPEEDS = { slow: 5, normal: 150, fast: Infinity }
const SNAPSHOT_FLOATS = 8e6

onmessage = ({ data: message }) => {
  if (message.type === 'start') start(message)
  if (!job || message.id !== job.id) return
  if (message.type === 'play') { job.playing = message.on; job.since = performance.now(); job.rounds = 0; if (message.on) later() }
  if (message.type === 'pace') job.rest = message.rest
  if (message.type === 'advance') { advance(message.epoch ? job.members.reduce((n, m) => Math.max(n, m.perEpoch - m.step % m.perEpoch), 1) : 1); repaint() }
  if (message.type === 'view') { const before = job.view; job.view = message.view; if (before.index !== message.view.index) about(); repaint() }
}

function start({ id, settings, view, weights }) {
  const sizes = new Map()
  let floats = 1e4
  for (const s of settings) {
    floats += Member.floats(s)
    const shape = new Shape([2, ...hiddenOf(s.model), classesOf(s.data)])
    for (const n of [s.data.batch_size, 512]) sizes.set(`${shape.widths}|${n}`, shape.room(n))
  }
  for (const room of sizes.values()) floats += room
  const heap = new Heap(floats), passes = sharedPasses(heap), kinds = new Map()
  const members = settings.map(s => {
    const name = JSON.stringify(s.data)
    if (!kinds.has(name)) {
      const data = parts(s.data, settings.length > 1 ? Math.min(2000, s.data.fresh_points) : s.data.fresh_points), law = density(s.data), K = classesOf(s.data)
      const limit = (part) => (law && data[part] ? scoreOf(logPosterior(data[part].x, data[part].count, law), data[part], K) : null)
      const known = {}
      kinds.set(name, { data, law, K, limit: part => (known[part] ??= limit(part)) })
    }
    const kind = kinds.get(name), member = new Member(heap, s, kind.data, passes)
    member.kind = kind
    return member
  })
  if (weights && weights.length === members[0].shape.size) members[0].begin(weights)
  job = { id, members, passes, view, playing: false, next: 0, since: 0, rounds: 0, drawn: members.map(() => 0), changed: members.map(() => true), snapshots: [], every: 1, sent: 0, rest: 0, freshAt: 0 }
  snapshot(0)
  postMessage({ type: 'ready', id, limits: members.map(m => m.kind.limit('validation')), perEpoch: members[0].perEpoch, sizes: members.map(m => m.shape.size), wasm: !!heap.kernels })
  about()
  repaint()
}

// Points and the Bayes map of the network looked at.
function about() {
  const { members, view, id } = job, m = members[view.index], { data, law, K } = m.kind
  postMessage({ type: 'about', id, index: view.index, train: data.train, test: data.test, validation: data.validation })
  if (law) {
    const places = grid(view.bayesResolution, [-view.limit, view.limit, -view.limit, view.limit])
    const values = logPosterior(places.x, places.count, law).map(Math.exp)
    postMessage({ type: 'bayes', id, index: view.index, limit: view.limit, resolution: view.bayesResolution, probabilities: Float32Array.from(values), classes: K })
  } else postMessage({ type: 'bayes', id, index: view.index, probabilities: null })
}

const done = m => m.diverged || m.epoch >= m.settings.max_epochs
function turn() {
  if (!job?.playing) return
  const now = performance.now(), { members } = job
  if (members.every(done)) { job.playing = false; repaint(true); postMessage({ type: 'done', id: job.id }); return }
  const allowed = (now - job.since) / 1000 * SPEEDS[job.view.speed]
  if (job.rounds < allowed) {
    if (SPEEDS[job.view.speed] !== Infinity && allowed - job.rounds > 200) { job.since = now; job.rounds = 0 }
    advanceFor(7)
  }
  if (performance.now() - job.sent > (job.view.one ? 33 : 66)) repaint()
  // A pause where the page asks for one: on a single core it could not answer otherwise.
  if (job.rounds >= allowed) setTimeout(later, 5)
  else if (job.rest) setTimeout(later, job.rest)
  else later()
}

function advanceFor(ms) {
  const until = performance.now() + ms
  do advanceOne(); while (performance.now() < until && !(job.next === 0 && job.rounds >= (performance.now() - job.since) / 1000 * SPEEDS[job.view.speed]))
}
function advance(rounds) { for (let k = 0; k < rounds; k++) do advanceOne(); while (job.next) }

function advanceOne() {
  const { members } = job, index = job.next, m = members[index]
  job.next = (index + 1) % members.length
  if (job.next === 0) job.rounds++
  if (done(m)) return
  job.changed[index] = true
  if (!m.advance()) return
  const row = m.close(), limit = m.kind.limit('validation')
  if (index === job.view.index && performance.now() - job.freshAt > 400) {
    job.freshAt = performance.now()
    fresh(index)
  }
  postMessage({ type: 'epoch', id: job.id, index, row, best: { epoch: m.best.epoch, nll: m.best.nll }, diverged: m.diverged, limit })
  if (index === members.length - 1 || m.epoch >= m.settings.max_epochs) snapshot(m.epoch)
}
function fresh(index) {
  const m = job.members[index], points = m.data.fresh?.count ? m.data.fresh : m.data.test
  if (!points?.count) return
  const part = points === m.data.fresh ? 'fresh' : 'test'
  postMessage({ type: 'fresh', id: job.id, index, epoch: m.epoch, part, points: points.count, now: m.measure(points), limit: m.kind.limit(part) })
}

// Weights of all networks at an epoch; where they grow too many, every other epoch is let go.
function snapshot(epoch) {
  const { members, snapshots } = job
  if (snapshots.at(-1)?.epoch === epoch) snapshots.pop()
  if (epoch % job.every && !members.every(done)) return
  snapshots.push({ epoch, thetas: members.map(m => m.weights()) })
  const floats = members.reduce((n, m) => n + m.shape.size, 0)
  while (snapshots.length > 8 && snapshots.length * floats > SNAPSHOT_FLOATS) {
    job.every *= 2
    job.snapshots = snapshots.filter(s => s.epoch % job.every === 0 || s === snapshots.at(-1))
    break
  }
  postMessage({ type: 'snapshots', id: job.id, epochs: job.snapshots.map(s => s.epoch) })
}

// Maps of a network that are drawn anew in a second, where there is time for it.
const MAPS_A_SECOND = 6

// Paint what has changed, the oldest maps first, for a few milliseconds but as many as a second needs; everything
// when asked to.
function repaint(all = !job.playing) {
  const { members, view, drawn, changed } = job, now = performance.now(), past = view.epoch === null ? null : job.snapshots.findLast(s => s.epoch <= view.epoch)
  if (past || all) changed.fill(true)
  const order = (view.one ? [view.index] : members.map((_, k) => k)).filter(k => changed[k]).sort((a, b) => drawn[a] - drawn[b])
  const maps = [], moved = [], least = Math.min(members.length, members.length * MAPS_A_SECOND * (now - job.sent) / 1000)
  for (const index of order) {
    if (maps.length >= least && !all && !past && performance.now() - now > 4) break
    const resolution = view.one ? view.large : view.resolution
    const pixels = paint(index, past, resolution)
    maps.push({ index, resolution, pixels })
    moved.push(pixels.buffer)
    drawn[index] = now; changed[index] = false
  }
  const m = members[view.index], theta = past ? past.thetas[view.index].slice() : m.weights()
  job.sent = performance.now()
  postMessage({ type: 'frame', id: job.id, maps, index: view.index, theta, epoch: past ? past.epoch : m.epoch, step: m.step, live: !past, steps: members.reduce((n, o) => n + o.step, 0) }, [...moved, theta.buffer])
}

function paint(index, past, resolution) {
  const m = job.members[index], { limit, paper, tint } = job.view, K = m.shape.widths.at(-1)
  let theta = m.theta
  if (past) { m.heap.f.set(past.thetas[index], m.gradient); theta = m.gradient }
  const places = (job.places ??= {})[`${resolution}|${limit}`] ??= grid(resolution, [-limit, limit, -limit, limit])
  const pixels = new Uint8ClampedArray(4 * places.count), piece = 512, pass = m.passes(m.shape, piece)
  for (let from = 0; from < places.count; from += piece) {
    const count = Math.min(piece, places.count - from), { f } = m.heap
    for (const row of [0, 1]) f.set(places.x.subarray(row * places.count + from, row * places.count + from + count), pass.x + row * pass.width)
    const z = pass.forward(theta)
    for (let p = 0; p < count; p++) {
      const at = from + p, up = resolution - 1 - Math.floor(at / resolution)
      tintPixel(pixels, 4 * (up * resolution + at % resolution), f, z + p, pass.width, K, paper, tint)
    }
  }
  return pixels
}
