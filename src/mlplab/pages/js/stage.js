// The stage: one map with its points, or the mosaic.
const canvas = $('stage').querySelector('canvas')
const layout = { cells: [] }, moved = new Set() // cells whose map has changed since it was drawn
function draw() {
  const { c, w, h } = fitted(canvas, $('stage').clientHeight), ink = css('--ink'), muted = css('--muted')
  if (isOne()) {
    const image = engine.maps[experiment.view.pick], { limit, bayes, split } = experiment.view, K = engine.bayes?.classes
    layout.cells = [{ index: experiment.view.pick, x: 0, y: 0, size: w }]
    if (image) drawImage(c, image, 0, 0, w, h)
    const place = (a, b) => [(a / limit + 1) / 2 * w, (1 - b / limit) / 2 * h]
    if (bayes === 'half' && engine.bayes) {
      const x = split / 100 * w
      engine.bayes.image ??= {}
      const shade = isDark() ? 'dark' : 'light'
      engine.bayes.image[shade] ??= bitmap(mapPixels(engine.bayes.probabilities, engine.bayes.resolution, K, tone()), engine.bayes.resolution)
      c.save(); c.beginPath(); c.rect(x, 0, w - x, h); c.clip(); drawImage(c, engine.bayes.image[shade], 0, 0, w, h); c.restore()
      c.strokeStyle = ink; c.lineWidth = 2; c.beginPath(); c.moveTo(x, 0); c.lineTo(x, h); c.stroke()
      c.font = '12px system-ui, sans-serif'; c.fillStyle = ink
      c.textAlign = 'right'; if (x > 60) c.fillText('network', x - 8, h - 8)
      c.textAlign = 'left'; if (x < w - 50) c.fillText('Bayes', x + 8, h - 8)
    }
    const points = experiment.values.data === 'own' ? pointsFrom(experiment.own.points) : engine.about?.train
    if (points) drawPoints(c, points, place, { radius: Math.max(1.8, w / 260) })
    if (bayes === 'boundary' && engine.bayes) drawSegments(c, engine.bayes.segments, engine.bayes.resolution, 0, 0, w, { colour: ink, width: 1.3 })
    c.font = '11.5px system-ui, sans-serif'; c.fillStyle = muted; c.textAlign = 'left'
    for (const v of ticks(-limit, limit, 4)) { if (Math.abs(v) < limit) { const [x, y] = place(v, v); c.fillText(v, x + 2, h - 4); if (v) c.fillText(v, 3, y - 2) } }
    return
  }
  const { columns, rows } = experiment, top = 34, left = rows > 1 ? 46 : 8, size = Math.min((w - left - 6) / columns, (h - top - 6) / rows), gap = Math.max(2, size * 0.05)
  const x0 = left + (w - left - 6 - size * columns) / 2, y0 = top
  layout.cells = []
  c.font = '12px system-ui, sans-serif'; c.fillStyle = muted; c.textAlign = 'center'
  if (experiment.x) {
    c.fillText(KEYS[experiment.x.key].label, x0 + size * columns / 2, 12)
    experiment.x.values.forEach((v, k) => { if (k % Math.ceil(34 / size) === 0) c.fillText(nameOf(v), x0 + (k + 0.5) * size, 28, size * Math.ceil(34 / size)) })
  }
  if (experiment.y) {
    c.save(); c.translate(11, y0 + size * rows / 2); c.rotate(-Math.PI / 2); c.fillText(KEYS[experiment.y.key].label, 0, 0); c.restore()
    c.textAlign = 'right'
    experiment.y.values.forEach((v, k) => { if (k % Math.ceil(14 / size) === 0) c.fillText(nameOf(v), x0 - 5, y0 + (k + 0.5) * size + 4, left - 18) })
  }
  for (let index = 0; index < columns * rows; index++) {
    layout.cells.push({ index, x: x0 + index % columns * size, y: y0 + Math.floor(index / columns) * size, size: size - gap, edge: Math.max(1.5, size * 0.03) })
    drawCell(c, index)
  }
}
function drawCell(c, index) {
  const { x, y, size, edge } = layout.cells[index], image = engine.maps[index]
  c.fillStyle = borderColour(index)
  c.fillRect(x, y, size, size)
  if (image) c.drawImage(image, x + edge, y + edge, size - 2 * edge, size - 2 * edge)
  if (engine.diverged[index]) { c.fillStyle = css('--ink'); c.font = '12px system-ui, sans-serif'; c.textAlign = 'center'; c.fillText('diverged', x + size / 2, y + size / 2 + 4, size) }
  if (index === experiment.view.pick) { c.strokeStyle = css('--ink'); c.lineWidth = 2; c.strokeRect(x + 1, y + 1, size - 2, size - 2) }
}
const nameOf = v => (typeof v === 'number' ? short(v) : Array.isArray(v) ? v.join('-') : typeof v === 'object' ? v.name : String(v).replace('_', ' '))
// Regret on validation points in nats: none dark blue, much pale; where the limit is not known, the NLL itself.
function regretOf(index) {
  const row = engine.histories[index]?.at(-1)
  return row?.validation ? row.validation.nll - (engine.limits[index]?.nll ?? 0) : null
}
function borderColour(index) {
  const regret = regretOf(index)
  if (engine.diverged[index]) return css('--ink')
  return regret === null ? css('--line') : regretColour(regret)
}
function regretColour(regret) {
  const t = Math.max(0, Math.min(1, (Math.log10(Math.max(regret, 1e-4)) + 2.3) / 2.5)), good = [24, 130, 90], bad = [214, 66, 46], middle = [232, 190, 70]
  const [a, b, s] = t < 0.5 ? [good, middle, 2 * t] : [middle, bad, 2 * t - 1]
  return `rgb(${a.map((v, k) => Math.round(v + s * (b[k] - v)))})`
}

// The network looked at.
let lens = null
function shapeOf(index) {
  const s = settings[index]
  return new Shape([2, ...hiddenOf(s.model), classesOf(s.data)], s.model.activation, s.model.dropout)
}
function look() {
  const { pick } = experiment.view
  if (!settings.length || !engine.theta) return null
  const shape = shapeOf(pick)
  if (engine.theta.length !== shape.size) return null
  if (lens) lens.set(shape, engine.theta); else lens = new Lens(shape, engine.theta)
  units.fit(shape)
  return lens
}
const extent = () => { const l = experiment.view.limit; return [-l, l, -l, l] }
const units = new UnitChoice($('units').querySelector('canvas'), [$('unitA'), $('unitB')], () => details())
function details() {
  const seen = look()
  if (!seen) return
  if (tab === 'units') units.draw(seen, extent())
  if (tab === 'warped' && seen.shape.depth && engine.about) drawWarped($('warped').querySelector('canvas'), seen, extent(), engine.about.train, units.chosen)
  const points = engine.about?.test
  if (tab === 'confusion' && points?.count) {
    const K = seen.shape.widths.at(-1), counts = confusion(seen.probabilities(points.x, points.count), points, K)
    $('confusion').querySelector('.scroll').replaceChildren(confusionTable(counts, counts.map((_, k) => `class ${k}`)))
  }
}
function figures() {
  const { pick } = experiment.view, history = engine.histories[pick] ?? [], at = engine.past === null ? history.at(-1) : history.findLast(r => r.epoch <= engine.past)
  if (!settings.length) { $('which').textContent = ''; $('stats').replaceChildren(); return }
  const shape = shapeOf(pick), limit = engine.limits[pick], fresh = engine.past === null ? engine.fresh[pick] : null
  $('which').textContent = `${shape.widths.join('–')} ${[...new Set(shape.activations.map(a => nameOf(a.name)))].join(', ')}, ${shape.size.toLocaleString('en')} parameters${count() > 1 ? `, network ${pick + 1} of ${count()}` : ''}`
  const values = fresh?.now ?? at?.validation, bayes = fresh ? fresh.limit : limit, part = fresh ? `${fresh.points.toLocaleString('en')} ${fresh.part} points` : 'validation points'
  const stat = (name, value, below) => make('div', {}, make('dt', { textContent: name }), make('dd', { textContent: value }, make('small', { className: 'muted', textContent: below })))
  $('stats').replaceChildren(
    stat('accuracy', percent(values?.accuracy), bayes ? `Bayes ${percent(bayes.accuracy)}` : engine.limits.length ? 'no known limit' : ''),
    stat('NLL', short(values?.nll), bayes ? `Bayes ${short(bayes.nll)}` : 'nats'),
    stat('regret', bayes && values ? short(values.nll - bayes.nll) : '–', bayes && values ? `${(100 * (bayes.accuracy - values.accuracy)).toFixed(2)} points` : 'of NLL'))
  $('stats').title = `on ${part}`
  const best = engine.best[pick]
  $('epochs').textContent = `epoch ${engine.epoch}${best?.epoch > 0 && isOne() ? `, best ${best.epoch}` : ''}`
  chart($('loss'), {
    series: [{ points: history.map(r => [r.epoch, r.loss]), colour: css('--train') }, { points: history.filter(r => r.validation).map(r => [r.epoch, r.validation.nll]), colour: css('--validation') }],
    lines: limit ? [{ y: limit.nll, label: 'Bayes limit' }] : [], log: true, x: 'epoch', y: 'NLL', height: 178, cursor: engine.past,
  })
}
// What the colours of the mosaic's borders mean.
function legendBorders() {
  const entry = (colour, text) => { const i = make('i'); i.style.background = colour; return make('span', {}, i, text) }
  return [make('span', { textContent: 'border: regret in NLL' }), ...[0.005, 0.1, 1.5].map(v => entry(regretColour(v), `${v}`))]
}
function legendLines() {
  const line = (colour, text) => { const i = make('i', { className: 'thin' }); i.style.background = `var(${colour})`; return make('span', {}, i, text) }
  $('lines').replaceChildren(line('--train', 'train'), line('--validation', 'validation'), line('--limit', 'Bayes limit'))
}
function slider() {
  const when = $('when')
  when.max = engine.epochs.length - 1
  if (engine.past === null) when.value = when.max
  when.setAttribute('aria-valuetext', `epoch ${engine.epochs[when.value] ?? 0}`)
}
function address() {
  clearTimeout(address.timer)
  address.timer = setTimeout(() => { const text = experiment.address(); address.own = text; history.replaceState(null, '', text === '#' ? location.pathname + location.search : text) }, 80)
  $('command').textContent = experiment.command()
}

// What people do.
function setView(part, { rebuild = false } = {}) {
  Object.assign(experiment.view, part)
  if (rebuild) controls()
  if (settings.length) send({ type: 'view', view: viewMessage() })
  address()
  dirty = engine.stale = true
}
function open(index) { engine.bayes = engine.about = engine.theta = null; setView({ pick: index, open: 1 }, { rebuild: true }) }
function select(index) { if (index < 0 || index >= count()) return; engine.bayes = engine.about = engine.theta = null; setView({ pick: index }, { rebuild: true }) }
const closeOne = () => { if (count() > 1) setView({ open: 0 }, { rebuild: true }) }
const acts = {
  ' ': () => setPlaying(!playing),
  s: () => { setPlaying(false); engine.past = null; send({ type: 'view', view: viewMessage() }); send({ type: 'advance' }) },
  e: () => { setPlaying(false); engine.past = null; send({ type: 'view', view: viewMessage() }); send({ type: 'advance', epoch: true }) },
  r: () => restart(false),
  d: () => { experiment.view.theme = isDark() ? 'light' : 'dark'; themed() },
  escape: closeOne,
}
function themed() { setTheme(experiment.view.theme); if (engine.bayes) engine.bayes.image = null; setView({}, { rebuild: true }) }
for (const [name, key] of Object.entries({ play: ' ', step: 's', epoch: 'e', reset: 'r', theme: 'd', back: 'escape' })) $(name).onclick = acts[key]
addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return
  if (e.target.tagName === 'BUTTON' && e.key === ' ') return
  const act = acts[e.key.toLowerCase()]
  if (act) { act(); e.preventDefault() }
})
$('stage').addEventListener('keydown', e => {
  const { pick } = experiment.view, { columns } = experiment
  const to = { ArrowRight: pick + 1, ArrowLeft: pick - 1, ArrowDown: pick + columns, ArrowUp: pick - columns }[e.key]
  if (to !== undefined && count() > 1) { select(to); e.preventDefault() }
  if (e.key === 'Enter' && !isOne()) open(pick)
})
let painting = false
canvas.addEventListener('pointerdown', e => {
  if (e.button) return
  if (experiment.values.data === 'own' && isOne()) { painting = true; canvas.setPointerCapture(e.pointerId); paintAt(e); e.preventDefault(); return }
  const cell = cellAt(e)
  if (cell && !isOne()) open(cell.index)
})
const cellAt = e => { const [x, y] = within(canvas, e); return layout.cells.find(b => x >= b.x && y >= b.y && x < b.x + b.size && y < b.y + b.size) }
canvas.addEventListener('pointermove', e => {
  if (painting) { paintAt(e); return }
  const cell = cellAt(e)
  if (!cell || !settings.length) return
  const [x, y] = within(canvas, e)
  if (!isOne()) {
    const regret = regretOf(cell.index), words = [experiment.x, experiment.y].map((axis, k) => axis && `${KEYS[axis.key].label} ${nameOf(axis.values[k ? Math.floor(cell.index / experiment.columns) : cell.index % experiment.columns])}`).filter(Boolean)
    $('readout').textContent = `${words.join(', ')}: ${regret === null ? 'not trained yet' : `validation accuracy ${percent(engine.histories[cell.index].at(-1).validation.accuracy)}, regret ${short(regret)}`}`
    return
  }
  const { limit } = experiment.view, at = Float32Array.of(((x - cell.x) / cell.size * 2 - 1) * limit, (1 - (y - cell.y) / cell.size * 2) * limit), seen = look()
  if (!seen) return
  const p = seen.probabilities(at, 1)
  let text = `(${at[0].toFixed(2)}, ${at[1].toFixed(2)}): ${[...p].map((v, k) => `class ${k} ${percent(v, 1)}`).join(', ')}`
  if (engine.bayes) {
    const R = engine.bayes.resolution, cellOf = v => Math.max(0, Math.min(R - 1, Math.floor((v / engine.bayes.limit + 1) / 2 * R))), place = cellOf(at[1]) * R + cellOf(at[0]), k = likeliest(engine.bayes.probabilities, R * R, place, engine.bayes.classes)
    text += `; Bayes: class ${k} ${percent(engine.bayes.probabilities[k * R * R + place], 1)}`
  }
  $('readout').textContent = text
})
for (const name of ['pointerup', 'pointercancel']) canvas.addEventListener(name, () => { if (painting) { painting = false; setPoints(experiment.own.points) } })
$('when').oninput = () => {
  if (playing) setPlaying(false)
  const last = +$('when').value === engine.epochs.length - 1
  engine.past = last ? null : engine.epochs[+$('when').value]
  send({ type: 'view', view: viewMessage() })
  engine.stale = true
}
$('bayes').onchange = () => setView({ bayes: $('bayes').value }, { rebuild: true })
$('limit').onchange = () => { engine.bayes = null; setView({ limit: +$('limit').value }); restart(playing) }
$('speed').onchange = () => setView({ speed: $('speed').value })
$('split').oninput = () => setView({ split: +$('split').value })
$('copy').onclick = () => copy(experiment.command(), $('copy'))
$('link').onclick = () => { copy(location.href.split('#')[0] + experiment.address(), $('link')) }
$('save').onclick = () => {
  if (!engine.theta) return
  const { pick } = experiment.view, shape = shapeOf(pick), s = settings[pick]
  download('weights.json', JSON.stringify({
    format: 'mlplab weights', epoch: engine.epoch, command: experiment.command(),
    model: { in_features: 2, hidden: shape.widths.slice(1, -1), out_features: shape.widths.at(-1), activation: typeof s.model.activation === 'string' ? s.model.activation : { ...s.model.activation }, dropout: s.model.dropout },
    state_dict: toState(shape, engine.theta),
  }))
}
$('load').onchange = async () => {
  const file = $('load').files[0]
  $('load').value = ''
  if (file) takeWeights(await file.text())
}
function takeWeights(text) {
  try {
    const node = JSON.parse(text), { widths, theta } = fromState(node.state_dict ?? node)
    const activation = parsed('model.activation', written(node.model?.activation ?? experiment.values['model.activation']))
    if (widths[0] !== 2) throw new RangeError(`the network must take two features, not ${widths[0]}`)
    experiment.x = experiment.y = null
    if (activation !== undefined) experiment.choose('model.activation', activation)
    experiment.choose('model.hidden', widths.slice(1, -1))
    if (PROBLEMS[experiment.values.data]?.classes) experiment.choose('data.classes', widths.at(-1))
    if (classesOf(experiment.setting().data) !== widths.at(-1)) throw new RangeError(`the network has ${widths.at(-1)} classes, the data set has ${classesOf(experiment.setting().data)}`)
    loaded = theta
    experiment.problems = []
    restart(false)
  } catch (error) { $('error').textContent = `These weights cannot be read: ${error.message}` }
}
tabs($('tabs'), [['units', 'Hidden units'], ['warped', 'Warped plane'], ['confusion', 'Confusion']], name => { tab = name; details() })
function lesson(k) {
  const [name, options, story] = LESSONS[k], theme = experiment.view.theme
  experiment = new Experiment({ ...LAB, start: {} }, options)
  experiment.view.theme = theme
  loaded = null
  $('story').textContent = story
  restart(true)
  ;[...$('lessons').children].forEach((b, j) => b.setAttribute('aria-pressed', j === k))
}
$('lessons').replaceChildren(...LESSONS.map(([name], k) => make('button', { textContent: `${k + 1}. ${name}`, onclick: () => lesson(k) })))
addEventListener('hashchange', () => { if (location.hash === address.own) return; experiment = new Experiment(LAB, location.hash); setTheme(experiment.view.theme); restart(false) })
addEventListener('resize', () => { dirty = engine.stale = true; details() })
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', themed)

// One frame: what has changed is drawn; metrics and units a few times a second. A page that falls behind asks the
// engine to rest between its slices.
let lastDetails = 0, lastPace = 0, framesThen = 0, rest = 0
function tick(now) {
  if (dirty) { dirty = false; moved.clear(); draw() }
  else if (moved.size) {
    if (layout.cells.length === count()) for (const index of moved) drawCell(canvas.getContext('2d'), index)
    moved.clear()
  }
  if ((engine.stale || engine.wanting) && now - lastDetails >= (isOne() ? 250 : 500)) { lastDetails = now; engine.stale = engine.wanting = false; figures(); details() }
  tick.frames = (tick.frames ?? 0) + 1
  if (now - lastPace > 400) {
    const rate = 1000 * (tick.frames - framesThen) / (now - lastPace), next = Math.max(0, Math.min(12, rest + (rate < 57 ? 2 : -1)))
    if (playing && next !== rest) send({ type: 'pace', rest: rest = next })
    lastPace = now; framesThen = tick.frames
  }
  requestAnimationFrame(tick)
}
setTheme(experiment.view.theme)
legendLines()
$('story').textContent = 'Press Train. Every network here is the lab’s own: the same points, initial weights and minibatches as the command below gives.'
spawn()
restart(false)
requestAnimationFrame(tick)
